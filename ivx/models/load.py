"""`ivx.load` and `ivx.wrap`: a checkpoint becomes a `Model`, or one sentence says why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

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
    quantisation,
    rotary,
)
from ivx.models import weights as tensors
from ivx.models.anatomy import anatomy_of, refuse_misfit
from ivx.models.cluster import cluster_of
from ivx.models.contents import Contents, contents_of
from ivx.models.model import Model
from ivx.models.origin import origin_of
from ivx.models.paths import parts
from ivx.models.prospect import prospect
from ivx.models.registry import embedded
from ivx.models.skeleton import streamed
from ivx.models.wrapper import Part, refuse_own_head


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
    found = prospect(name, dtype=dtype, device=device, weights=weights, adapter=adapter, memory_gb=memory_gb)
    found.refuse_what_cannot_fit()
    name, folder, adapter = found.name, found.folder, found.adapter
    part, config, place, wanted = found.part, found.part.config, found.device, found.dtype
    stream = None
    if found.packed:
        parameters = found.estimate.parameters
        hf, surplus = _read_packed(folder, config, name=name, dtype=wanted, parameters=parameters)
    elif found.weights == "whole":
        hf, surplus = _read(part, found.contents, name=name, dtype=wanted)
    else:
        on_disk = found.weights == "stream"
        hf, stream, surplus = streamed(part, found.contents, name=name, dtype=wanted, device=place, on_disk=on_disk)
    refuse_own_head(hf, part, name=name)
    tokenizer = library.tokenizer(folder, name=name)
    identity = fingerprint.of_directory(folder)
    if adapter is not None:
        beside = contents_of(Path(adapter).expanduser(), name=name)
        hf = adapters.merged(hf, beside.folder)
        identity = fingerprint.with_adapter(identity, beside.folder)
        beside.refuse_change()
    found.contents.refuse_change()  # what was hashed is what was read
    known = embedded(name)
    return Model(
        name=name,
        hf=_ready(hf if stream else hf.to(torch.device(place)), name=name),  # type: ignore[arg-type]  # wrong stub
        tokenizer=tokenizer,
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


def _read(part: Part, contents: Contents, *, name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model, and the names of tensors in its file that it rightly has no use for."""
    folder = contents.folder
    method = quantisation.method_of(part.config)
    config = quantisation.asked_in_full(part.config)
    cure = f"copy them again, or bring the package of {method} up to date" if method else "copy them again"
    with (
        library.quietly(),  # what it would tell of tensors is judged below
        boundary(CheckpointError, f"{name}: the weights in {folder} cannot be read", cure),
        contents.alone(weights=True) as place,
    ):
        read: Any = AutoModelForCausalLM.from_pretrained(
            place,
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
        hf.config.name_or_path = hf.name_or_path = str(folder)
        _own_memory(hf)
    held = {tensor: part.own(tensor) for tensor in headers.tensors(contents)}
    others = {tensor for tensor, own in held.items() if own is None}
    loading["unexpected_keys"] = set(loading["unexpected_keys"]) - others
    mine = [own for own in held.values() if own is not None]
    return hf, tensors.refuse_strangers(loading, mine, config=hf.config, name=name)


def _own_memory(hf: PreTrainedModel) -> None:
    """Have every weight in memory of its own. Those whose dtype is their file's are seen through it: whoever wrote to
    the file would change the model that is loaded, and whoever cut it would end the process."""
    for tensor in (*hf.parameters(), *hf.buffers()):
        if tensor.untyped_storage().resizable():
            continue
        tensor.data = tensor.data.clone()


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
