"""Indices that lead elsewhere, and headers of safetensors files that lie."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, Harm, lie

OUT = "files outside the allowed roots are read"
SHARD = "model-00001-of-00001.safetensors"
NAME = "model.layers.0.self_attn.q_proj.weight"
LIES = "reads beyond the file, numbers in the wrong place, or memory without end"


def index(shard: Any, *, keeps: bool = True) -> Harm:
    """An index that names this for every tensor; the weights are another file's where they are not kept."""

    def done(folder: Path) -> None:
        path = folder / "base" / "model.safetensors"
        size = int.from_bytes(path.read_bytes()[:8], "little")
        names = [name for name in json.loads(path.read_bytes()[8 : 8 + size]) if name != "__metadata__"]
        told = str(folder / shard[1:]) if isinstance(shard, str) and shard.startswith("@") else shard
        (folder / "base" / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, told)})
        )
        if not keeps:
            path.rename(folder / "base" / SHARD)

    return done


def document(told: Any) -> Harm:
    """An index that says this."""
    return lambda folder: (folder / "base" / "model.safetensors.index.json").write_text(json.dumps(told))


def sub(folder: Path) -> None:
    (folder / "base" / "sub").mkdir()
    shutil.copy(folder / "outside" / "model.safetensors", folder / "base" / "sub" / "x.safetensors")
    index("sub/x.safetensors", keeps=False)(folder)


def pickled(folder: Path) -> None:
    (folder / "base" / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/ivx-was-here'\ntR.")
    index("pytorch_model.bin", keeps=False)(folder)


def linked(folder: Path) -> None:
    path = folder / "base" / "model.safetensors"
    path.unlink()
    path.symlink_to(folder / "outside" / "model.safetensors")


def header(change: Callable[[dict[str, Any]], object], *, size: int | None = None) -> Harm:
    """A header that lies."""
    return lambda folder: lie(folder / "base" / "model.safetensors", change, size=size)


def tensor(**changes: Any) -> Harm:
    """A header that lies of one tensor."""
    return header(lambda told: told[NAME].update(changes))


def bytes_(change: Callable[[bytes], bytes]) -> Harm:
    """Other bytes in the file."""

    def done(folder: Path) -> None:
        path = folder / "base" / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return done


def poison(word: bytes) -> Harm:
    """Other numbers, at the end of the file."""
    return bytes_(lambda data: data[: -64 * len(word)] + word * 64)


def cases() -> list[Case]:
    """All of them."""
    broken = "is broken|cannot be read|lies"
    return [
        Case("an index that leads up", OUT, index("../outside/model.safetensors", keeps=False), "index|outside"),
        Case("an index that leads up, beside the weights", OUT, index("../outside/model.safetensors"), "index|outside"),
        Case(
            "an index that names an absolute path",
            OUT,
            index("@outside/model.safetensors", keeps=False),
            "index|outside",
        ),
        Case("an index that names /etc/passwd", OUT, index("/etc/passwd"), "index|passwd"),
        Case("an index into a subfolder", OUT, sub, "index|sub"),
        Case("an index of a pickle", "it is run", pickled, "index|unpickled|bin"),
        Case("an index of a device", "a thread that waits for ever", index("/dev/zero"), "index|zero"),
        Case("an index of what is not there", LIES, index("model-00001-of-00002.safetensors"), "is missing"),
        Case("an index of numbers", LIES, index(5), "index"),
        Case("an index of lists", LIES, index(["x"]), "index"),
        Case("an index of nothing", LIES, index(None), "index"),
        Case("an index of empty names", LIES, index(""), "index"),
        Case("an index of a dot", LIES, index("."), "index"),
        Case("an index of a NUL", LIES, index("x\0.safetensors"), "index"),
        Case("an index of a name of ten thousand letters", LIES, index("x" * 10_000), "index"),
        Case("an index without a map", LIES, document({"metadata": {}}), "index"),
        Case("an index whose map is a list", LIES, document({"weight_map": [1]}), "index"),
        Case("an index with an empty map", LIES, document({"weight_map": {}}), "index|no weights|lack|missing"),
        Case("weights that are a link out", OUT, linked, "link|outside|root"),
        Case("a header longer than the file", LIES, header(lambda told: None, size=2**40), broken),
        Case("a header of all bytes there are", LIES, header(lambda told: None, size=2**63 - 1), broken),
        Case("a header of a negative length", LIES, header(lambda told: None, size=2**64 - 1), broken),
        Case("a header of no length", LIES, header(lambda told: None, size=0), broken),
        Case("a header that is no JSON", LIES, bytes_(lambda data: data[:8] + b"x" * 100 + data[108:]), broken),
        Case("a header that is cut", LIES, bytes_(lambda data: data[:100]), broken),
        Case("seven bytes", LIES, bytes_(lambda data: data[:7]), broken),
        Case("weights that are cut", LIES, bytes_(lambda data: data[:-1000]), broken),
        Case("weights with a tail", LIES, bytes_(lambda data: data + b"x" * 1000), broken),
        Case("a tensor beyond the file", LIES, tensor(data_offsets=[0, 2**40]), broken),
        Case("a tensor before the file", LIES, tensor(data_offsets=[-8, 8]), broken),
        Case("a tensor from back to front", LIES, tensor(data_offsets=[100, 50]), broken),
        Case("a tensor over another", LIES, tensor(data_offsets=[0, 4096]), broken),
        Case("a tensor of half an offset", LIES, tensor(data_offsets=[0.5, 8]), broken),
        Case("a tensor of one offset", LIES, tensor(data_offsets=[0]), broken),
        Case("a tensor without offsets", LIES, header(lambda told: told[NAME].pop("data_offsets")), broken),
        Case("a tensor without a shape", LIES, header(lambda told: told[NAME].pop("shape")), broken),
        Case("a tensor of a negative shape", LIES, tensor(shape=[-32, -32]), broken),
        Case("a tensor of an endless shape", LIES, tensor(shape=[2**62, 2**62]), broken),
        Case("a tensor of a thousand axes", LIES, tensor(shape=[1] * 1000), broken + "|shape"),
        Case("a tensor of the other shape", LIES, tensor(shape=[16, 64]), "cannot be read|shape|mismatch"),
        Case("a tensor of a flat shape", LIES, tensor(shape=[1024]), "cannot be read|shape|mismatch"),
        Case("a tensor of an unknown dtype", LIES, tensor(dtype="F128"), broken),
        Case("a tensor of a dtype that is a number", LIES, tensor(dtype=5), broken),
        Case("a tensor of whole numbers", LIES, tensor(dtype="I32"), "is stored as I32"),
        Case("a tensor of truths", LIES, tensor(dtype="BOOL"), broken),
        Case("a tensor of half precision", LIES, tensor(dtype="F16"), broken),
        Case("a tensor that is missing", LIES, header(lambda told: told.pop(NAME)), broken + "|lack"),
        Case(
            "a tensor of another name",
            LIES,
            header(lambda told: told.update({"x": told.pop(NAME)})),
            "lack|missing|no place|x",
        ),
        Case(
            "a tensor whose name leads up",
            OUT,
            header(lambda told: told.update({"../../x": told.pop(NAME)})),
            "lack|missing|no place|x",
        ),
        Case("what it says of itself is a number", LIES, header(lambda told: told.update(__metadata__=5)), broken),
        Case(
            "what it says of itself is deep", LIES, header(lambda told: told.update(__metadata__={"a": [[[]]]})), broken
        ),
        Case(
            "of another library",
            LIES,
            header(lambda told: told.update(__metadata__={"format": "evil"})),
            "",
            other=True,
        ),
        Case("weights of no number", LIES, poison(b"\0\0\xc0\x7f"), "finite|NaN|not a number"),
        Case("weights without end", LIES, poison(b"\0\0\x80\x7f"), "finite|inf"),
        Case(
            "a hole of a terabyte",
            LIES,
            lambda folder: os.truncate(folder / "base" / "model.safetensors", 2**40),
            broken,
        ),
    ]
