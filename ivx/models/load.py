"""`ivx.load` and `ivx.wrap`: a checkpoint becomes a `Model`, or one sentence says why it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from ivx.errors import CheckpointError, IvxError, UnsupportedArchitecture
from ivx.models import doctor, files, fingerprint, memory
from ivx.models.anatomy import anatomy_of
from ivx.models.model import Model
from ivx.models.registry import embedded

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}


def load(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    memory_gb: float | None = None,
    adapter: str | None = None,
    check: bool = True,
) -> Model:
    """Load a checkpoint by built-in name, hub id (`org/name[@revision]`) or local directory.

    Args:
        dtype: `auto` keeps the checkpoint's own (float32 for the embedded family); or float32, float64, bfloat16,
            float16.
        device: `auto` is the GPU where there is one; or `cpu`, `cuda`, `cuda:1` …
        memory_gb: what weights and working set may take; by default what is free.
        adapter: directory of a LoRA adapter (safetensors), merged into the weights; needs `peft`.
        check: prove the architecture's facts on this checkpoint before handing it out.

    Raises:
        CheckpointError: it cannot be found, reached, trusted or read; MemoryRefused: it would not fit;
        UnsupportedArchitecture: a fact that patches rely on is unknown, or untrue here.
    """
    place = _device(device)
    folder = files.locate(name)
    if (folder / "adapter_config.json").is_file() and adapter is None:
        base = _adapter_base(folder)
        return load(base, dtype=dtype, device=device, memory_gb=memory_gb, adapter=str(folder), check=check)
    raw = files.read_config(folder, name=name)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UnsupportedArchitecture(
            f"{name}: transformers does not know the architecture {raw['model_type']!r}, so neither does ivx"
        ) from error
    anatomy_of(config)
    known = embedded(name)
    wanted = _dtype(dtype, config, small=known is not None)
    files.check_weights(folder, name=name)
    found = memory.estimate(config, dtype=wanted, device=place)
    memory.refuse_what_cannot_fit(found, dtype=wanted, device=place, memory_gb=memory_gb)
    hf, tokenizer = _read(folder, name=name, dtype=wanted)
    identity = fingerprint.of_directory(folder)
    if adapter is not None:
        hf = _merged(hf, Path(adapter))
        identity = fingerprint.of_parameters(hf)
    model = Model(
        name=name,
        hf=_ready(hf.to(torch.device(place))),  # type: ignore[arg-type]  # wrongly wrapped stub
        tokenizer=tokenizer,
        anatomy=anatomy_of(hf.config),
        fingerprint=identity,
        source=str(folder),
        collection=known.collection if known else "english",
    )
    return _proved(model) if check else model


def wrap(hf_model: PreTrainedModel, tokenizer: Any = None, *, name: str = "in-memory", check: bool = True) -> Model:
    """An in-memory transformers causal LM as a `Model`; without a tokenizer for work with token ids only."""
    model = Model(
        name=name,
        hf=_ready(hf_model),
        tokenizer=tokenizer,
        anatomy=anatomy_of(hf_model.config),
        fingerprint=fingerprint.of_parameters(hf_model),
    )
    return _proved(model) if check else model


def _ready(hf: PreTrainedModel) -> PreTrainedModel:
    return hf.eval().requires_grad_(False)


def _proved(model: Model) -> Model:
    failed = [check for check in doctor.checkup(model).checks if not check.passed]
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
        raise IvxError(f"device {device!r} is not known: use auto, cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise IvxError(f"device {device!r} asks for a GPU and this machine has none that torch can use: use cpu")
    return device


def _dtype(dtype: str, config: Any, *, small: bool) -> torch.dtype:
    if dtype == "auto":
        own = getattr(config, "dtype", None)
        return torch.float32 if small or not isinstance(own, torch.dtype) else own
    if dtype not in DTYPES:
        raise IvxError(f"dtype {dtype!r} is not known: use auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _read(folder: Path, *, name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    noisy = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        hf = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{name}: the weights in {folder} cannot be read ({first}): copy them again") from error
    finally:
        if noisy:
            logging.enable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a broken tokenizer raises whatever its parser does
        raise CheckpointError(
            f"{name}: {folder} has no tokenizer that can be read ({type(error).__name__}): copy tokenizer.json beside "
            "the weights"
        ) from error
    return hf, tokenizer


def _adapter_base(folder: Path) -> str:
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}/adapter_config.json does not name its base model: pass the base, and this as adapter"
        ) from error
    return str(base)


def _merged(hf: PreTrainedModel, folder: Path) -> PreTrainedModel:
    if not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(f"{folder} holds no adapter_model.safetensors: ivx reads safetensors adapters only")
    try:
        from peft import PeftModel
    except ImportError as error:
        raise CheckpointError("LoRA adapters need the package peft: `pip install peft`") from error
    try:
        return PeftModel.from_pretrained(hf, folder).merge_and_unload()
    except (ValueError, RuntimeError, OSError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(f"the adapter in {folder} does not fit this checkpoint ({first})") from error
