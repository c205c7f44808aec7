"""`ivx.load` and `ivx.wrap`: a checkpoint becomes a `Model`, or one sentence says why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ivx.errors import CheckpointError, IvxError, UnsupportedArchitecture, boundary
from ivx.models import (
    adapters,
    dequantised,
    doctor,
    files,
    fingerprint,
    gguf,
    headers,
    library,
    memory,
    quantisation,
    rotary,
)
from ivx.models import weights as tensors
from ivx.models.anatomy import anatomy_of, refuse_misfit
from ivx.models.cluster import cluster_of
from ivx.models.model import Model
from ivx.models.origin import origin_of
from ivx.models.paths import parts
from ivx.models.precision import HALF
from ivx.models.registry import embedded
from ivx.models.skeleton import streamed
from ivx.models.wrapper import Part, refuse_own_head, text_part

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}


def load(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    memory_gb: float | None = None,
    adapter: str | None = None,
    weights: str = "auto",
    check: bool = True,
    ray: str | None = None,
) -> Model:
    """Load a checkpoint by name, hub id (`org/name[@revision]`), local directory or GGUF file.

    `checkpoint+adapter` is one of these with an adapter merged into it, under a name that tells it from the checkpoint.

    Args:
        dtype: that of the arithmetic: `auto` is float32, and float64 where the checkpoint is; or float32, float64,
            bfloat16, float16.
        device: `auto` is the GPU where there is one; or `cpu`, `cuda`, `cuda:1` …; several, as in `cuda:0,cuda:1`, hold
            a replica each and share the samples of a sweep.
        memory_gb: what weights and working set may take, on each device; by default what is free.
        adapter: directory of a LoRA adapter (safetensors), merged into the weights; what is more than plain LoRA needs
            `peft`.
        weights: `whole`, in memory in the dtype of the arithmetic; `compact`, in memory in the dtype of their file,
            each block made ready when it is its turn; `stream`, the same from disk; the numbers are equal. `auto`
            takes the first that fits, and keeps half precision compact where whole would take half of the memory. A
            GGUF file is dequantised when it is read, so that it is always whole.
        check: prove the architecture's facts on this checkpoint before handing it out.
        ray: a Ray cluster whose actors hold a replica each and compute sweeps: `auto` is this machine's or a new one,
            `local` a new one, or its head's `host:port`; by default `IVX_RAY`, and none where that is not set.

    Raises:
        CheckpointError: it cannot be found, reached, trusted or read; MemoryRefused: it would not fit;
        UnsupportedArchitecture: a fact that patches rely on is unknown, or untrue here.
    """
    base, own = parts(name)
    if own is not None and adapter is not None:
        raise IvxError(f"{name} names an adapter already: leave out {adapter!r}, or merge it into the weights first")
    if own is not None:
        files.locate(name)  # where its base is not here, that is said of the name that was asked for
        adapter = own
    loading: dict[str, Any] = {
        "dtype": dtype,
        "memory_gb": memory_gb,
        "adapter": adapter,
        "weights": weights,
        "check": check,
    }
    cluster = cluster_of(ray, base, device=device, loading=loading)
    model, *replicas = (_replica(base, device=one, **loading) for one in device.split(","))
    return replace(model, name=name, replicas=tuple(replicas), cluster=cluster)


def _replica(name: str, *, check: bool, **loading: Any) -> Model:
    with library.ALONE:
        model = _load(name, **loading)
    return _proved(model) if check else model


def _load(name: str, *, dtype: str, device: str, memory_gb: float | None, adapter: str | None, weights: str) -> Model:
    place = _device(device)
    if weights not in ("auto", *memory.WAYS):
        raise IvxError(f"weights {weights!r} is not known: use auto, {', '.join(memory.WAYS)}")
    if adapter is not None and weights in ("compact", "stream"):
        raise IvxError(f"an adapter is merged into whole weights: use weights='whole' with it, not {weights!r}")
    folder = files.locate(name)
    if (folder / "adapter_config.json").is_file() and adapter is None:
        base = adapters.base_of(folder)
        try:
            files.locate(base)
        except CheckpointError as error:
            raise CheckpointError(
                f"the adapter in {folder} was trained on {base!r}, which is not here ({error}); give the base as the "
                "checkpoint, and this directory as its adapter"
            ) from error
        return _load(base, dtype=dtype, device=device, memory_gb=memory_gb, adapter=str(folder), weights=weights)
    part, held = _packed(folder, name=name) if gguf.is_one(folder) else _described(folder, name=name)
    config = part.config
    anatomy_of(config)
    known = embedded(name)
    wanted = _dtype(dtype, config, small=known is not None)
    packed, quantised = gguf.is_one(folder), quantisation.method_of(config)
    if packed and weights in ("compact", "stream"):
        raise IvxError(
            f"{name} is a GGUF file, whose blocks are dequantised when it is read: use weights='whole' with it, not "
            f"{weights!r}"
        )
    if quantised and weights in ("compact", "stream"):
        raise IvxError(f"{name}: quantised weights are dequantised whole: use weights='whole', not {weights!r}")
    with boundary(CheckpointError, f"{name}: no model can be built from its config.json", "copy it again"):
        size = sum(there.size for there in held.values())
        found = memory.estimate(config, dtype=wanted, device=place, file_bytes=size)
    if packed:
        chosen = "whole"
    elif weights == "auto":
        half = getattr(config, "dtype", None) in HALF and wanted not in HALF
        is_whole = bool(adapter or quantised)
        chosen = "whole" if is_whole else memory.choose(found, memory_gb=memory_gb, is_half=half)
    else:
        chosen = weights
    memory.refuse_what_cannot_fit(
        found,
        dtype=wanted,
        device=place,
        memory_gb=memory_gb,
        weights=chosen,
        only_whole=packed or bool(quantised) or adapter is not None,
    )
    stream = None
    if packed:
        hf, surplus = _read_packed(folder, config, name=name, dtype=wanted, parameters=found.parameters)
    elif chosen == "whole":
        hf, surplus = _read(part, folder, name=name, dtype=wanted)
    else:
        on_disk = chosen == "stream"
        hf, stream, surplus = streamed(part, folder, name=name, dtype=wanted, device=place, on_disk=on_disk)
    refuse_own_head(hf, part, name=name)
    identity = fingerprint.of_directory(folder)
    if adapter is not None:
        hf = adapters.merged(hf, Path(adapter).expanduser())
        identity = fingerprint.with_adapter(identity, Path(adapter).expanduser())
    return Model(
        name=name,
        hf=_ready(hf if stream else hf.to(torch.device(place)), name=name),  # type: ignore[arg-type]  # wrong stub
        tokenizer=library.tokenizer(folder, name=name),
        anatomy=anatomy_of(hf.config),
        fingerprint=identity,
        source=str(folder),
        collection=known.collection if known else "english",
        surplus=surplus,
        part=part.form or None,
        quantisation=_quantisation(folder, config, name=name),
        merged=adapter and adapters.told(name, Path(adapter)),
        stream=stream,
    )


def wrap(hf_model: PreTrainedModel, tokenizer: Any = None, *, name: str = "in-memory", check: bool = True) -> Model:
    """An in-memory transformers causal LM as a `Model`; without a tokenizer for work with token ids only."""
    model = Model(
        name=name,
        hf=_ready(hf_model, name=name),
        tokenizer=tokenizer,
        anatomy=anatomy_of(hf_model.config),
        fingerprint=fingerprint.of_parameters(hf_model),
    )
    return _proved(model) if check else model


def _packed(path: Path, *, name: str) -> tuple[Part, dict[str, headers.Held]]:
    """As `_described`, of a GGUF file, whose blocks have no size of their own in memory."""
    return Part(dequantised.config_of(path, name=name)), {}


def _described(folder: Path, *, name: str) -> tuple[Part, dict[str, headers.Held]]:
    """The part of a checkpoint that is loaded, and its tensors as the files' headers tell of them."""
    raw, config = _config(folder, name=name)
    files.check_weights(folder, name=name)
    held = headers.tensors(folder)
    part = text_part(config, raw, held, name=name)
    own = {tensor: there for tensor, there in held.items() if part.own(tensor) is not None}
    quantisation.refuse_unscaled(part.config, own, name=name)
    return part, own


def _config(folder: Path, *, name: str) -> tuple[dict[str, Any], Any]:
    """What config.json says, and what transformers makes of it."""
    raw = files.read_config(folder, name=name)
    try:
        return raw, AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a config raises whatever its class does
        if "auto_map" in raw:
            raise CheckpointError(
                f"{name} wants to run code of its own (auto_map in {folder / 'config.json'}), which ivx never does: "
                "use a checkpoint whose architecture is part of transformers"
            ) from error
        if raw["model_type"] in CONFIG_MAPPING:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(f"{name}: its config.json cannot be read ({first:.200}): copy it again") from error
        raise UnsupportedArchitecture(
            f"{name}: transformers does not know the architecture {raw['model_type']!r}, so neither does ivx"
        ) from error


def _ready(hf: PreTrainedModel, *, name: str) -> PreTrainedModel:
    quantisation.refuse_in_memory(hf, name=name)
    tensors.refuse_non_finite(hf, name=name)
    refuse_misfit(hf, anatomy_of(hf.config), name=name)
    rotary.forget_prompts(hf)
    return hf.eval().requires_grad_(False)


def _proved(model: Model) -> Model:
    failed = [check for check in doctor.report_of(model).checks if not check.passed and not doctor.is_partial(check)]
    failed.sort(key=lambda check: check.name != doctor.FINITE)  # of numbers that are not finite, no other check is one
    if failed:
        raise UnsupportedArchitecture(
            f"{model.name} ({model.hf.config.model_type}) failed a check: {failed[0].name}, {failed[0].detail}; "
            "a patch could be wrong, so it is not loaded (check=False loads it all the same)"
        )
    return model


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


def _read(part: Part, folder: Path, *, name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model, and the names of tensors in its file that it rightly has no use for."""
    method = quantisation.method_of(part.config)
    config = quantisation.asked_in_full(part.config)
    cure = f"copy them again, or bring the package of {method} up to date" if method else "copy them again"
    with (
        library.quietly(),  # what it would tell of tensors is judged below
        boundary(CheckpointError, f"{name}: the weights in {folder} cannot be read", cure),
    ):
        read: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            key_mapping=part.renamed or None,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )  # a pair, which the library's types do not know
        hf, loading = read
        if method:
            with torch.device("meta"):
                plain = AutoModelForCausalLM.from_config(hf.config, dtype=dtype)
            hf = quantisation.in_full(hf, plain, method=method, dtype=dtype, name=name)
    held = {tensor: part.own(tensor) for tensor in headers.tensors(folder)}
    others = {tensor for tensor, own in held.items() if own is None}
    loading["unexpected_keys"] = set(loading["unexpected_keys"]) - others
    mine = [own for own in held.values() if own is not None]
    return hf, tensors.refuse_strangers(loading, mine, config=hf.config, name=name)


def _read_packed(
    path: Path, config: Any, *, name: str, dtype: torch.dtype, parameters: int
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """As `_read`, of a GGUF file."""
    with library.quietly():
        hf, loading = dequantised.model_of(path, config, name=name, dtype=dtype, parameters=parameters)
    return hf, tensors.refuse_strangers(loading, (), config=hf.config, name=name)


def _quantisation(place: Path, config: Any, *, name: str) -> str | None:
    """How the weights were kept before they were dequantised; None where nothing says that they were."""
    if gguf.is_one(place):
        return gguf.header_of(place, name=name).quantisation
    origin = origin_of(place)
    return quantisation.told(config) or (origin.quantisation if origin else None)
