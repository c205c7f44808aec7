"""What loading a checkpoint would take, from its headers alone: which model it is, its memory, and what forbids it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig

from ivx.errors import CheckpointError, IvxError, UnsupportedArchitecture, boundary
from ivx.models import adapters, dequantised, door, fields, files, gguf, headers, judge, memory, paths, quantisation
from ivx.models import weights as tensors
from ivx.models.anatomy import Anatomy, anatomy_of
from ivx.models.contents import Contents, base_of, contents_of
from ivx.models.precision import HALF
from ivx.models.registry import embedded
from ivx.models.wrapper import Part, text_part

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}


@dataclass(frozen=True)
class Prospect:
    """A checkpoint that could be loaded, no weight of which was read.

    Attributes:
        name: of the checkpoint; of an adapter's directory, the base's.
        folder: its directory, or its GGUF file.
        adapter: the adapter's directory, where one is merged.
        part: the causal language model in it, whose config it holds.
        estimate: parameters and memory.
        weights: how they would be had, one of `memory.WAYS`.
        dtype: of the arithmetic.
        device: one of torch's.
        packed: whether it is a GGUF file.
        quantised: the method of weights that are dequantised when they are read; None where they are not.
        memory_gb: what it may take; None for what is free.
        contents: its files, as they were when it was looked at.
        misfit: which tensor of its files is none of the model's; empty where all fit.
    """

    name: str
    folder: Path
    adapter: str | None
    part: Part
    estimate: memory.Estimate
    weights: str
    dtype: torch.dtype
    device: str
    packed: bool
    quantised: str | None
    memory_gb: float | None
    contents: Contents
    misfit: str = ""

    @property
    def anatomy(self) -> Anatomy:
        """Where the parts of this architecture are."""
        return anatomy_of(self.part.config)

    @property
    def needed_gb(self) -> float:
        """Gigabytes (1e9 bytes) of the weights as they would be had, with a working set."""
        return self.estimate.needed(self.weights)

    def refuse_what_cannot_fit(self) -> None:
        """Raise `MemoryRefused` where it needs more than is free, or allowed; `CheckpointError` where its files do not
        hold the weights for which memory would be taken."""
        memory.refuse_what_cannot_fit(
            self.estimate,
            dtype=self.dtype,
            device=self.device,
            memory_gb=self.memory_gb,
            weights=self.weights,
            only_whole=self.packed or bool(self.quantised) or self.adapter is not None,
        )
        if self.misfit:
            raise CheckpointError(f"{self.name}: {self.misfit}")


def prospect(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    weights: str = "auto",
    adapter: str | None = None,
    memory_gb: float | None = None,
    fetch: bool = True,
) -> Prospect:
    """The prospect of a checkpoint, named and loaded as in `ivx.load`; a hub id is fetched only with `fetch`.

    Raises:
        CheckpointError: it cannot be found, trusted or read, or not had like this, or its adapter does not fit;
        UnsupportedArchitecture: a fact that patches rely on is unknown.
    """
    place = _device(device)
    if weights not in ("auto", *memory.WAYS):
        raise IvxError(f"weights {weights!r} is not known: use auto, {', '.join(memory.WAYS)}")
    folder = files.locate(name, fetch=fetch)
    if (folder / adapters.CONFIG).is_file() and adapter is None:
        name, adapter = base_of(folder), str(folder)
        try:
            door.base_within(folder, among=paths.readable())
            folder = files.locate(name, fetch=fetch)
        except CheckpointError as error:
            raise CheckpointError(
                f"the adapter in {folder} was trained on {name!r}, which is not here ({error}); give the base as the "
                "checkpoint, and this directory as its adapter"
            ) from error
    most = door.largest()
    if most < float("inf"):  # judged once it is here, whatever the hub said of it
        for one in ([] if embedded(name) else [folder]) + ([] if adapter is None else [Path(adapter).expanduser()]):
            door.refuse_larger(name, one, most=most)
    judge.refuse_unjudged(folder, name=name, adapter=None if adapter is None else Path(adapter).expanduser())
    return of_files(folder, name=name, dtype=dtype, place=place, weights=weights, adapter=adapter, memory_gb=memory_gb)


def of_files(
    folder: Path,
    *,
    name: str,
    dtype: str = "auto",
    place: str = "cpu",
    weights: str = "auto",
    adapter: str | None = None,
    memory_gb: float | None = None,
) -> Prospect:
    """The prospect of files that were judged, as `prospect` gives it; `place` is the device's name for torch."""
    if adapter is not None and weights in ("compact", "stream"):
        raise IvxError(f"an adapter is merged into whole weights: use weights='whole' with it, not {weights!r}")
    packed = gguf.is_one(folder)
    contents = contents_of(folder, name=name)
    part, held = _packed(folder, name=name) if packed else _described(contents, name=name)
    anatomy_of(part.config)
    wanted = _dtype(dtype, part.config, small=embedded(name) is not None)
    quantised = quantisation.method_of(part.config)
    if packed and weights in ("compact", "stream"):
        raise IvxError(
            f"{name} is a GGUF file, whose blocks are dequantised when it is read: use weights='whole' with it, not "
            f"{weights!r}"
        )
    if quantised and weights in ("compact", "stream"):
        raise IvxError(f"{name}: quantised weights are dequantised whole: use weights='whole', not {weights!r}")
    with boundary(CheckpointError, f"{name}: no model can be built from its config.json", "copy it again"):
        size = sum(there.size for there in held.values())
        empty = memory.empty_model(part.config)
        found = memory.estimate(empty, dtype=wanted, device=place, file_bytes=size)
    own = {part.own(tensor) or "": one for tensor, one in held.items()}
    misfit = "" if packed or quantised else tensors.misfit(empty, own)
    if adapter is not None:
        adapters.refuse_unfit(Path(adapter).expanduser(), part.config)
    if packed or (weights == "auto" and (adapter is not None or quantised)):
        chosen = "whole"
    elif weights == "auto":
        half = getattr(part.config, "dtype", None) in HALF and wanted not in HALF
        chosen = memory.choose(found, memory_gb=memory_gb, is_half=half)
    else:
        chosen = weights
    return Prospect(
        name, folder, adapter, part, found, chosen, wanted, place, packed, quantised, memory_gb, contents, misfit
    )


def _packed(path: Path, *, name: str) -> tuple[Part, dict[str, headers.Held]]:
    """As `_described`, of a GGUF file, whose blocks have no size of their own in memory."""
    return Part(dequantised.config_of(path, name=name)), {}


def _described(contents: Contents, *, name: str) -> tuple[Part, dict[str, headers.Held]]:
    """The part of a checkpoint that is loaded, and its tensors as the files' headers tell of them."""
    raw, config = _config(contents, name=name)
    files.check_weights(contents.folder, name=name)
    held = headers.tensors(contents)
    part = text_part(config, raw, held, name=name)
    own = {tensor: there for tensor, there in held.items() if part.own(tensor) is not None}
    quantisation.refuse_unscaled(part.config, own, name=name)
    return part, own


def _config(contents: Contents, *, name: str) -> tuple[dict[str, Any], Any]:
    """What config.json says, and what transformers makes of it, without the liberties."""
    folder, raw = contents.folder, files.read_config(contents.folder, name=name)
    if raw["model_type"] in CONFIG_MAPPING:
        fields.refuse_unknown(raw, folder / "config.json", name=name)
    try:
        with contents.alone() as place:
            config = AutoConfig.from_pretrained(place, trust_remote_code=False, local_files_only=True)
        config.name_or_path = str(folder)
        return raw, config
    except IvxError:
        raise
    except Exception as error:  # a config raises whatever its class does
        if "auto_map" in raw:
            raise CheckpointError(
                f"{name} wants to run code of its own (auto_map in {folder / 'config.json'}), which ivx never does: "
                "use a checkpoint whose architecture is part of transformers"
            ) from error
        if raw["model_type"] in CONFIG_MAPPING:
            told = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(f"{name}: its config.json cannot be read ({told:.300}): copy it again") from error
        raise UnsupportedArchitecture(
            f"{name}: transformers does not know the architecture {raw['model_type']!r}, so neither does ivx"
        ) from error


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise IvxError(f"device {device!r} is not known: use auto, cpu, cuda or cuda:N; several by commas") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise IvxError(f"device {device!r} asks for a GPU and this machine has none that torch can use: use cpu")
    return device


def _dtype(dtype: str, config: Any, *, small: bool) -> torch.dtype:
    if dtype == "auto":
        # What is published in half precision is widened: its arithmetic would be a different result.
        return torch.float64 if getattr(config, "dtype", None) == torch.float64 and not small else torch.float32
    if dtype not in DTYPES:
        raise IvxError(f"dtype {dtype!r} is not known: use auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]
