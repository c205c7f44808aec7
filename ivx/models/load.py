"""`ivx.load` and `ivx.wrap`: a checkpoint becomes a `Model`, or one sentence says why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ivx.errors import CheckpointError, IvxError, UnsupportedArchitecture, boundary
from ivx.models import adapters, dequantised, doctor, files, fingerprint, gguf, library, memory, rotary
from ivx.models import weights as tensors
from ivx.models.anatomy import anatomy_of, refuse_misfit
from ivx.models.cluster import cluster_of
from ivx.models.model import Model
from ivx.models.origin import origin_of
from ivx.models.precision import HALF
from ivx.models.registry import embedded
from ivx.models.skeleton import streamed

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

    Args:
        dtype: that of the arithmetic: `auto` is float32, and float64 where the checkpoint is; or float32, float64,
            bfloat16, float16.
        device: `auto` is the GPU where there is one; or `cpu`, `cuda`, `cuda:1` …; several, as in `cuda:0,cuda:1`, hold
            a replica each and share the samples of a sweep.
        memory_gb: what weights and working set may take, on each device; by default what is free.
        adapter: directory of a LoRA adapter (safetensors), merged into the weights; needs `peft`.
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
    loading: dict[str, Any] = {
        "dtype": dtype,
        "memory_gb": memory_gb,
        "adapter": adapter,
        "weights": weights,
        "check": check,
    }
    cluster = cluster_of(ray, name, device=device, loading=loading)
    model, *replicas = (_replica(name, device=one, **loading) for one in device.split(","))
    return replace(model, replicas=tuple(replicas), cluster=cluster)


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
    packed = gguf.is_one(folder)
    if packed and weights in ("compact", "stream"):
        raise IvxError(
            f"{name} is a GGUF file, whose blocks are dequantised when it is read: use weights='whole' with it, not "
            f"{weights!r}"
        )
    config = dequantised.config_of(folder, name=name) if packed else _config(folder, name=name)
    anatomy_of(config)
    known = embedded(name)
    wanted = _dtype(dtype, config, small=known is not None)
    if not packed:
        files.check_weights(folder, name=name)
    with boundary(CheckpointError, f"{name}: no model can be built from its config.json", "copy it again"):
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        found = memory.estimate(config, dtype=wanted, device=place, file_bytes=size)
    if packed:
        chosen = "whole"
    elif weights == "auto":
        half = getattr(config, "dtype", None) in HALF and wanted not in HALF
        chosen = "whole" if adapter is not None else memory.choose(found, memory_gb=memory_gb, is_half=half)
    else:
        chosen = weights
    memory.refuse_what_cannot_fit(found, dtype=wanted, device=place, memory_gb=memory_gb, weights=chosen)
    stream = None
    if packed:
        hf, surplus = _read_packed(folder, config, name=name, dtype=wanted, parameters=found.parameters)
    elif chosen == "whole":
        hf, surplus = _read(folder, name=name, dtype=wanted)
    else:
        on_disk = chosen == "stream"
        hf, stream, surplus = streamed(config, folder, name=name, dtype=wanted, device=place, on_disk=on_disk)
    identity = fingerprint.of_directory(folder)
    if adapter is not None:
        hf = adapters.merged(hf, Path(adapter))
        identity = fingerprint.of_parameters(hf)
    return Model(
        name=name,
        hf=_ready(hf if stream else hf.to(torch.device(place)), name=name),  # type: ignore[arg-type]  # wrong stub
        tokenizer=library.tokenizer(folder, name=name),
        anatomy=anatomy_of(hf.config),
        fingerprint=identity,
        source=str(folder),
        collection=known.collection if known else "english",
        surplus=surplus,
        stream=stream,
        quantisation=_quantisation(folder, name=name),
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


def _config(folder: Path, *, name: str) -> Any:
    raw = files.read_config(folder, name=name)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
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


def _read(folder: Path, *, name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model, and the names of tensors in its file that it rightly has no use for."""
    with (
        library.quietly(),
        boundary(CheckpointError, f"{name}: the weights in {folder} cannot be read", "copy them again"),
    ):
        read: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )  # a pair, which the library's types do not know
        hf, loading = read
    return hf, tensors.refuse_strangers(loading, files.tensors(folder), config=hf.config, name=name)


def _read_packed(
    path: Path, config: Any, *, name: str, dtype: torch.dtype, parameters: int
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """As `_read`, of a GGUF file."""
    with library.quietly():
        hf, loading = dequantised.model_of(path, config, name=name, dtype=dtype, parameters=parameters)
    return hf, tensors.refuse_strangers(loading, (), config=hf.config, name=name)


def _quantisation(place: Path, *, name: str) -> str | None:
    """How the weights were kept before they were dequantised; None where nothing says that they were."""
    if gguf.is_one(place):
        return gguf.header_of(place, name=name).quantisation
    told = origin_of(place)
    return told.quantisation if told else None
