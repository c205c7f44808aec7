"""Files that are missing, cut, empty, no files at all, not UTF-8, deep or vast."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import Case, Harm

FILES = [
    *("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"),
    *("model.safetensors", "model.safetensors.index.json", "special_tokens_map.json"),
]
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
HARMS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a directory": lambda path: gone(path).mkdir(),
    "a pipe": lambda path: os.mkfifo(gone(path)),
    "a device": lambda path: gone(path).symlink_to("/dev/zero"),
    "a loop of links": lambda path: gone(path).symlink_to(path),
    "a link to nothing": lambda path: gone(path).symlink_to("/nowhere/x"),
    "not UTF-8": lambda path: path.write_bytes(b'{"a": "\xff\xfe"}' + path.read_bytes()),
    "deep": lambda path: path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000),
    "a list": lambda path: path.write_text("[1, 2]"),
    "null": lambda path: path.write_text("null"),
    "a number of many digits": lambda path: path.write_text('{"a": ' + "9" * 100_000 + "}"),
    "vast": lambda path: path.open("r+b").truncate(300_000_000),
}
WHY = "a traceback, a thread that waits for ever, or memory without end"


def gone(path: Path) -> Path:
    """The path, of which the file is taken away."""
    path.unlink()
    return path


def saying(text: str) -> Callable[[Path], object]:
    """Write this in the place of a file."""
    return lambda path: path.write_text(text)


def at(place: str, name: str, harm: Callable[[Path], object]) -> Harm:
    """Harm one file, made first where it is not there."""

    def done(folder: Path) -> None:
        path = folder / place / name
        if not path.exists():
            path.write_text(json.dumps(STAND_INS.get(name, {})))
        harm(path)

    return done


STAND_INS = {
    "special_tokens_map.json": {"bos_token": "<s>"},
    "model.safetensors.index.json": {"metadata": {}, "weight_map": {"model.norm.weight": "model.safetensors"}},
}


def expected(name: str, what: str) -> tuple[str, str]:
    """What is said where it is opened, and where a turn is put into its template: which may be any text."""
    is_text = what in ("cut", "deep", "a list", "null", "a number of many digits")
    if name == "chat_template.jinja" and (is_text or what == "empty"):
        return "", "does not write a user's turn as it stands" if is_text else ""
    return rf"{name}|{name.split('.')[0]}|tokenizer|template", ""


def cases() -> list[Case]:
    """All of them."""
    found = [
        Case(f"{name} is {what}", WHY, at("base", name, harm), *expected(name, what))
        for name in FILES
        for what, harm in HARMS.items()
    ]
    found += [
        Case(f"{name} is {what}", WHY, at("adapter", name, harm), rf"{name}|adapter", opened="adapter")
        for name in ADAPTERS
        for what, harm in HARMS.items()
    ]
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        found.append(
            Case(f"{name} is missing", WHY, at("base", name, Path.unlink), "no config|no tokenizer|no weights")
        )
    for text in ('{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', "{'a': 1}", "\ufeff{}", "{", '"x"', "{}", "\0"):
        found.append(Case(f"config.json is {text!r}", WHY, at("base", "config.json", saying(text)), r"config\.json"))
    return found
