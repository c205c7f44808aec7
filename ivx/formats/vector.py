"""One vector of the stream, in a file of its own that other tools read, and back.

Two formats, both of numbers alone. A safetensors file holds one tensor, named by the place it is for (`resid_post.3`),
and what it is in its header. A GGUF file is a control vector as llama.cpp has them: `direction.3` is added to what
block 3 leaves in the stream, at every token. Block 0 has none there, and nothing is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivx.engine.address import SITES, STREAM
from ivx.errors import IvxError

if TYPE_CHECKING:
    import pyarrow as pa

    from ivx.engine.readout import Answer
    from ivx.engine.workload import Prompts
    from ivx.models.model import Model

OVERWRITE, ADD = "overwrite", "add"
OPERATIONS = (OVERWRITE, ADD)
"""What is done with a vector: put in place of a state, or added to it."""
ENDINGS = (".safetensors", ".gguf")
LARGEST = 64_000_000
"""Most bytes of a file: eight thousand layers of width two thousand, or some hundred of the widest model."""
LONGEST = 20_000
"""Most characters of what a file says of its vector."""
KEY, CONTROL, DIRECTION = "ivx.vector", "controlvector", "direction."
_FIELDS = {"site", "layer", "operation", "norm", "provenance"}


@dataclass(frozen=True, eq=False)
class Vector:
    """One vector, for one site and layer.

    Attributes:
        site: where it belongs, such as `resid_post`; not `z`.
        layer: of the block, from 0.
        operation: `overwrite` or `add`.
        values: float32 `[width]`.
        provenance: what it was taken from, ready for JSON: run, checkpoint and its fingerprint, task, version of ivx;
            empty where a file does not say.
    """

    site: str
    layer: int
    operation: str
    values: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.site not in SITES or self.site == "z":
            raise IvxError(f"a vector is of a site of the stream, {', '.join(SITES[:-1])}, not {self.site!r:.40}")
        if self.operation not in OPERATIONS:
            raise IvxError(f"an operation is {' or '.join(OPERATIONS)}, not {self.operation!r:.40}")
        if type(self.layer) is not int or not 0 <= self.layer < 10_000:
            raise IvxError(f"a layer is a whole number from 0, not {self.layer!r:.40}")
        values = np.asarray(self.values)
        if values.ndim != 1 or not values.size or values.dtype != np.float32 or not np.isfinite(values).all():
            raise IvxError("a vector is one row of finite float32 numbers")

    @property
    def width(self) -> int:
        """How many numbers it has."""
        return len(self.values)

    @property
    def norm(self) -> float:
        """Its length."""
        return float(np.linalg.norm(self.values.astype(np.float64)))

    def save(self, path: Path | str, *, hint: str = "") -> None:
        """Write FILE.safetensors, or a control vector FILE.gguf.

        Args:
            hint: of a GGUF: the architecture of the model it is for, as llama.cpp calls it.

        Raises:
            IvxError: another ending, a place that cannot be written, or a vector that no control vector can be.
        """
        path = Path(path)
        check_name(path)
        content = self.gguf(hint=hint) if path.suffix == ".gguf" else self.safetensors()
        try:
            path.write_bytes(content)
        except OSError as error:
            raise IvxError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error

    def safetensors(self) -> bytes:
        """The content of a safetensors file."""
        from safetensors.numpy import save

        return save({f"{self.site}.{self.layer}": self.values}, metadata={KEY: self._about()})

    def gguf(self, *, hint: str = "") -> bytes:
        """The content of a control vector for llama.cpp; raises `IvxError` where there is no such."""
        if self.operation != ADD:
            raise IvxError(
                "a control vector of llama.cpp is added, and this one overwrites: take the operation add, or save it "
                "as safetensors"
            )
        if self.site != STREAM or not self.layer:
            raise IvxError(
                f"llama.cpp adds control vectors behind blocks 1 and above, not at {self.site}.{self.layer}: take "
                f"{STREAM} of another layer, or save it as safetensors"
            )
        gguf = _package()
        writer = gguf.GGUFWriter(None, CONTROL)
        writer.add_string(f"{CONTROL}.model_hint", hint or str(self.provenance.get("checkpoint", "")))
        writer.add_int32(f"{CONTROL}.layer_count", 1)  # of directions, as llama.cpp's own generator counts them
        writer.add_string(KEY, self._about())
        writer.add_tensor(f"{DIRECTION}{self.layer}", self.values)
        return _written(writer)

    def rows(
        self,
        model: Model,
        *,
        target: Prompts,
        answer: Sequence[Answer],
        contrast: Sequence[Answer] | None = None,
        position: int = -1,
        strength: float = 1.0,
    ) -> pa.Table:
        """What it does at one token of some prompts: rows as of `ivx.sweep`, first unpatched, then with the vector.

        Args:
            target, answer, contrast: token ids per sample, as in a sweep.
            position: from 0, or from the end where negative.
            strength: what the vector is multiplied by.

        Raises:
            IvxError: it is not as wide as the model, which has no such layer, or a prompt has no such token.
        """
        import pyarrow as pa
        import torch

        from ivx.engine.address import parse
        from ivx.engine.hooks.differences import added
        from ivx.engine.hooks.given import patched

        if self.width != model.width or self.layer >= model.layers:
            raise IvxError(
                f"the vector is for layer {self.layer} of a model of width {self.width}, and {model.name} has layers 0 "
                f"to {model.layers - 1} and width {model.width}: take one of its own kind"
            )
        values = torch.from_numpy(self.values.copy()).to(model.dtype) * strength
        address = f"{self.site}.{self.layer}@{position}"
        if self.operation == OVERWRITE:
            states = values.expand(len(target), -1)
            given = [("", None), (address, states)]
            return patched(model, target=target, answer=answer, contrast=contrast, patches=given)
        moved = {(self.site, self.layer): values.to(model.device)}
        sets = {"": (), address: parse(address)}
        found = list(
            added(model, target=target, answer=answer, contrast=contrast, sets=sets, differences=[moved] * len(target))
        )
        return pa.Table.from_batches(found).sort_by([("patch", "ascending"), ("sample", "ascending")])

    def _about(self) -> str:
        told = {"site": self.site, "layer": self.layer, "operation": self.operation, "norm": self.norm}
        return json.dumps({**told, "provenance": self.provenance})


def check_name(path: Path) -> None:
    """Refuse a file whose name says neither format."""
    if path.suffix not in ENDINGS:
        raise IvxError(f"{path} is no name of a vector's file: let it end in {' or '.join(ENDINGS)}")


def load_vector(path: Path | str, *, layer: int | None = None) -> Vector:
    """The vector of a file that `Vector.save` wrote, or of llama.cpp's control vector.

    Args:
        layer: which, where a control vector has several.

    Raises:
        IvxError: it cannot be read, is no such file, or has several layers and none was named.
    """
    path = Path(path)
    check_name(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IvxError(f"{path} cannot be read ({error.strerror or error}): name another file") from error
    if not path.is_file() or size > LARGEST:
        raise IvxError(f"{path} is no vector: that is a file of at most {LARGEST / 1e6:.0f} MB")
    tensors, told = _of_gguf(path) if path.suffix == ".gguf" else _of_safetensors(path)
    about = _read(path, told)
    if path.suffix == ".gguf":
        places = {f"{STREAM}.{name.removeprefix(DIRECTION)}": name for name in tensors if name.startswith(DIRECTION)}
    else:
        places = {name: name for name in tensors}
    chosen = [place for place in places if layer is None or place.partition(".")[2] == str(layer)]
    if len(chosen) != 1:
        there = f"has {', '.join(map(str, places))}"[:200] if places else "holds no vector"
        raise IvxError(f"{path} {there}: name one of its layers with layer=")
    site, _, number = chosen[0].partition(".")
    if about and (about["site"], str(about["layer"])) != (site, number):
        raise IvxError(f"{path} says {about['site']}.{about['layer']} and holds {chosen[0]}: save it again")
    values = tensors[places[chosen[0]]]
    if values.dtype != np.float32 or values.ndim != 1:
        raise IvxError(f"{path}, {chosen[0]}: a vector is one row of float32 numbers: save it as such")
    operation, provenance = about.get("operation", ADD), about.get("provenance", {})
    if not number.isdecimal() or len(number) > 4:
        raise IvxError(f"{path} holds {chosen[0]!r:.60}, which is no site and layer: save it again")
    return Vector(site, int(number), operation, np.array(values), provenance)


def _of_safetensors(path: Path) -> tuple[dict[str, np.ndarray], str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(KEY, "")  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise IvxError(f"{path} is no safetensors file that can be read ({error}): copy it again") from error


def _of_gguf(path: Path) -> tuple[dict[str, np.ndarray], str]:
    from ivx.models.gguf import header_of

    package, header = _package(), header_of(path, name=path.name)
    if header.architecture != CONTROL:
        raise IvxError(f"{path} is a GGUF of {header.architecture:.40}, not a control vector: name another file")
    if any(tensor.kind != "F32" for tensor in header.tensors):
        raise IvxError(f"{path} holds numbers other than float32: save it as such")
    reader = package.GGUFReader(path)
    return {tensor.name: np.array(tensor.data) for tensor in reader.tensors}, str(header.keys.get(KEY, ""))


def _read(path: Path, told: str) -> dict[str, Any]:
    """What a file says of its vector; empty where it says nothing."""
    if not told:
        return {}
    try:
        if len(told) > LONGEST:
            raise ValueError("it is too long")
        found = json.loads(told)
        if set(found) != _FIELDS or not isinstance(found["provenance"], dict) or type(found["layer"]) is not int:
            raise ValueError("fields are missing")
    except (ValueError, TypeError, RecursionError) as error:
        raise IvxError(f"{path}, {KEY}: what it says of its vector cannot be read ({error}): save it again") from error
    return found


def _written(writer: Any) -> bytes:
    """What a writer of the package holds, which it writes to files only."""
    from ivx import scratch

    with scratch.folder("vector") as folder:
        path = Path(folder, "vector.gguf")
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def _package() -> Any:
    from ivx.models.gguf import require

    require("a control vector")
    import gguf

    return gguf
