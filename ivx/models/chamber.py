"""The chamber: a confined process that reads strangers' checkpoints, by the functions that the server reads them by.

It is the program of `judge.ORIGINAL`; each of its functions is one answer.
"""

from __future__ import annotations

import json
import string
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from ivx.confined.service import serve
from ivx.errors import CheckpointError
from ivx.models import document, fields, files, gguf, headers, library, prospect
from ivx.models.contents import ADAPTED, ADAPTER, CONFIG, GENERATION, Contents, contents_of
from ivx.models.judge import ELSE

PLAIN = (
    "Name the colour of the animal. Animal: crow. Answer:",
    "Ünïcödé, 你好世界, مرحبا, नमस्ते, 👩‍👩‍👧‍👦 ﷺ ﷽ and e\u0301\u0323\u0301",
    "don't we'll I'M 1234567890 3.14 a_b-c/d \\\\ <s></s> <|im_start|> [INST] {{ braces }} {% if %}",
    " \t\n\r\n  \n\n\u00a0\u2003\u200b\u2028 end",
)
"""Texts that every tokenizer reads in no time."""
RUN = 2_000
"""Characters of a run of one letter; a prompt is as long."""
ENDS = ("", "!", "\0")
"""What stands behind a run: an expression that fails there tries its ways anew."""
LETTERS = "aA1 \n\t'!._-é你\u0301="
KEPT = 40
"""Letters of its own expressions that are tried besides."""
SLOW = 2.0
"""Seconds that one text may take."""
PATTERNS = ("rank_pattern", "alpha_pattern", "layers_pattern", "exclude_modules", "modules_to_save")
"""Fields of an adapter's config by which more than plain LoRA is found."""
PER_LETTER, PER_ID, MARGIN = 24, 2_000, 200
"""Most tokens of a letter, most letters of a token, and how many more there may be of either."""

_HELD: dict[str, Any] = {}
"""The tokenizer of this copy, and what the model is known to have."""


def model(place: str, name: str) -> dict[str, Any]:
    """Read all but the weights and the tokenizer: config, index, headers, the empty model, how it generates."""
    found = prospect.of_files(Path(place), name=name)
    _HELD["vocabulary"] = int(found.part.config.vocab_size)
    _HELD["config"] = found.part.config
    if GENERATION in found.contents.files:
        from transformers import GenerationConfig

        with found.contents.alone() as alone:
            GenerationConfig.from_pretrained(alone, local_files_only=True)
    return {"parameters": found.estimate.parameters}


def words(place: str, name: str) -> dict[str, Any]:
    """Read the tokenizer, and try it on ordinary texts and on runs of letters, its own expressions' among them."""
    folder = Path(place)
    open_(place, name)
    own = _letters(folder)
    runs = [letter * RUN + end for letter in dict.fromkeys(LETTERS + own) for end in ENDS]
    runs += [(a + b) * (RUN // 2) + "!" for a, b in zip(own, own[1:], strict=False)]
    for text in ("", "a", *PLAIN, *runs):
        began = time.monotonic()
        ids = _tokenizer()(text)["input_ids"]
        shown = f"{text[:12]!r}…" if len(text) > 12 else repr(text)
        about = f"{name}: the tokenizer in {place}"
        if len(ids) > PER_LETTER * len(text.encode()) + MARGIN:
            raise CheckpointError(f"{about} makes {len(ids):,} tokens of {len(text):,} characters ({shown}): {ELSE}")
        _refuse_unknown(ids, about=about, shown=shown)
        if text in PLAIN:
            _refuse_chance(ids, text, about=about)
        written = _tokenizer().decode(ids)
        if len(written) > PER_ID * len(ids) + MARGIN:
            raise CheckpointError(f"{about} writes {len(written):,} characters for {len(ids):,} tokens: {ELSE}")
        if time.monotonic() - began > SLOW:
            raise CheckpointError(
                f"{about} took more than {SLOW:g} s for a text of {len(text):,} characters ({shown}): {ELSE}"
            )
    return {"length": len(_tokenizer())}


def _refuse_chance(ids: Sequence[int], text: str, *, about: str) -> None:
    if any(_tokenizer()(text)["input_ids"] != ids for _ in range(3)):
        raise CheckpointError(f"{about} reads one text as other tokens each time (dropout): {ELSE}")


def _refuse_unknown(ids: Sequence[int], *, about: str, shown: str) -> None:
    most = _HELD.get("vocabulary")
    if most is not None and ids and not 0 <= min(ids) <= max(ids) < most:
        raise CheckpointError(
            f"{about} has the token {max(ids):,} for {shown}, and vocab_size in config.json is {most:,}: {ELSE}"
        )


def _letters(folder: Path) -> str:
    """Letters that stand in a tokenizer's expressions, and in what it replaces."""
    path = folder / "tokenizer.json"
    if gguf.is_one(folder) or not path.is_file():
        return ""
    told = json.loads(document.text(path, name=str(folder), most=document.VAST))
    found: list[str] = []

    def look(value: Any) -> None:
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            if isinstance(inner, Mapping | list):
                look(inner)
            elif isinstance(inner, str) and key in ("Regex", "String", "content", "pattern"):
                found.append(inner)

    look({key: told.get(key) or {} for key in ("normalizer", "pre_tokenizer", "decoder")})
    letters = dict.fromkeys("".join(found))
    return "".join(letter for letter in letters if letter.isalnum() or letter in string.punctuation + " ")[:KEPT]


def turn(place: str, name: str) -> dict[str, Any]:
    """Write a user's turn in its chat template; that it can write none is said when one is wanted."""
    if not getattr(_tokenizer(), "chat_template", None):
        return {"written": 0}
    try:
        written = turn_of([{"role": "user", "content": "Name it."}], {"tokenize": False, "add_generation_prompt": True})
    except MemoryError:
        raise
    except Exception as error:  # a template raises what it likes
        return {"failed": type(error).__name__}
    return {"written": len(written) if isinstance(written, str) else 0}


def adapter(place: str, name: str, adapter: str) -> None:
    """Read an adapter's config; where peft would merge it, look for its modules as peft does, and count its numbers."""
    held = contents_of(Path(adapter), name=name)
    if ADAPTER not in held.files or ADAPTED not in held.files:
        return  # which is said where it is merged
    path, told = held.folder / ADAPTER, held.document(ADAPTER)
    fields.refuse_nonsense(told, path, name=name)
    files.check_weights(held.folder, name=name)
    is_plain = isinstance(told.get("target_modules"), list) and not any(told.get(field) for field in PATTERNS)
    if is_plain and told.get("peft_type") == "LORA" or find_spec("peft") is None:
        return
    numbers = sum(prod(one.shape) for one in headers.of_file(held.folder / ADAPTED).values())
    described = _described(held)
    if described > numbers + MARGIN:
        raise CheckpointError(f"{name}: {path} describes {described:,} numbers and {ADAPTED} holds {numbers:,}: {ELSE}")


def _described(held: Contents) -> int:
    """How many numbers an adapter's config gives it on this model; 0 where peft does not say, and will say why."""
    import torch
    from peft import PeftConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(_HELD["config"])
            before = sum(one.numel() for one in empty.parameters())
            with held.adapter_alone() as alone:
                tuned = get_peft_model(empty, PeftConfig.from_pretrained(str(alone)))
        return sum(one.numel() for one in tuned.parameters()) - before
    except MemoryError:
        raise
    except Exception:  # its numbers may be drawn from the weights, which are not here
        return 0


def open_(place: str, name: str) -> None:
    """Hold a tokenizer, for the answers below."""
    folder = Path(place)
    _HELD["tokenizer"] = library.read_tokenizer(folder, name=name)
    _HELD["about"] = f"{name}: the tokenizer in {place}"
    if CONFIG in contents_of(folder, name=name).files:
        told = files.read_config(folder, name=name)
        inner = told.get("text_config")
        _HELD["vocabulary"] = {**told, **(inner if isinstance(inner, dict) else {})}.get("vocab_size")


def _tokenizer() -> Any:
    return _HELD["tokenizer"]


def facts() -> dict[str, Any]:
    """What is asked of a tokenizer itself."""
    tokenizer = _tokenizer()
    special = [f"{which}_token" for which in ("unk", "bos", "eos", "pad")]
    told = {name: getattr(tokenizer, name, None) for one in special for name in (one, f"{one}_id")}
    template = getattr(tokenizer, "chat_template", None)
    return {
        **told,
        "is_fast": bool(getattr(tokenizer, "is_fast", False)),
        "chat_template": template if isinstance(template, str) else None,
        "length": len(tokenizer),
    }


def encode(text: Any, how: dict[str, Any]) -> dict[str, Any]:
    """The tokens of a text; raises `CheckpointError` where one of them is none of the model's."""
    found = dict(_tokenizer()(text, **how))
    for ids in found["input_ids"] if isinstance(text, list | tuple) else [found["input_ids"]]:
        _refuse_unknown(ids, about=_HELD["about"], shown="a text")
    return found


def decode(ids: list[int] | int, how: dict[str, Any]) -> str:
    """The text of tokens."""
    return str(_tokenizer().decode(ids, **how))


def tokens(ids: list[int] | int) -> Any:
    """The vocabulary's words."""
    return _tokenizer().convert_ids_to_tokens(ids)


def ids(tokens: Any) -> Any:
    """The ids of words."""
    return _tokenizer().convert_tokens_to_ids(tokens)


def vocabulary() -> dict[str, int]:
    """The ids of all words."""
    return dict(_tokenizer().get_vocab())


def turn_of(turns: list[dict[str, str]], how: dict[str, Any]) -> Any:
    """What the chat template writes."""
    return _tokenizer().apply_chat_template(turns, **how)


ANSWERS: dict[str, Callable[..., Any]] = {
    "model": model,
    "words": words,
    "turn": turn,
    "adapter": adapter,
    "open": open_,
    "facts": facts,
    "encode": encode,
    "decode": decode,
    "tokens": tokens,
    "ids": ids,
    "vocabulary": vocabulary,
    "turn_of": turn_of,
}


def _main() -> None:
    """Import once what every copy reads with, and serve."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: F401

    with suppress(ImportError):
        import accelerate  # noqa: F401
        import gguf as _  # noqa: F401
    serve(ANSWERS)


if __name__ == "__main__":
    _main()
