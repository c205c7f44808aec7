"""Adapters (LoRA and its kin): merged into a checkpoint's weights, or one sentence says why they cannot be."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ivx.errors import CheckpointError, boundary
from ivx.models import fingerprint, headers, lora
from ivx.models.lora import NO_PLACE
from ivx.models.registry import TAUGHT

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
OTHER = "as when it was trained on another model: give the base that it was trained on"


def base_of(folder: Path) -> str:
    """The name of the checkpoint that an adapter's directory says it was trained on."""
    try:
        base = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"the adapter in {folder} does not name its base model in {CONFIG}: give the base as the checkpoint, and "
            "this directory as its adapter"
        )
    return base


def told(base: str, folder: Path) -> str:
    """What is said of a checkpoint into which the adapter in a directory was merged."""
    here = any(one.adapter == folder for one in TAUGHT)
    return f"LoRA on {base}, taught here" if here else f"adapter {folder.expanduser().resolve().name}"


def refuse_unfit(folder: Path, config: Any) -> None:
    """Raise `CheckpointError` where the headers of a plain adapter's file say that it does not fit a model of this
    config; what is more than plain LoRA is judged where it is merged."""
    told = _config(folder)
    with boundary(CheckpointError, f"{folder / WEIGHTS} cannot be read", "copy it again"):
        held = {name: one.shape for name, one in headers.of_file(folder / WEIGHTS).items()}
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    matrices = lora.targets(empty, told)
    if matrices is not None:
        with _fitting(folder):
            lora.refuse_unfit(matrices, held)


def merged(hf: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapter in its weights; what is more than plain LoRA is merged by peft.

    Raises:
        CheckpointError: the adapter cannot be read or merged, does not fit, or changes nothing.
    """
    config = _config(folder)
    matrices = lora.targets(hf, config)
    if matrices is None:
        before = fingerprint.of_parameters(hf)
        hf = _by_peft(hf, folder)
        changes = fingerprint.of_parameters(hf) != before
    else:
        with _fitting(folder):
            changes = lora.merge(matrices, folder / WEIGHTS, scale=config["lora_alpha"] / config["r"])
    if not changes:
        raise CheckpointError(
            f"the adapter in {folder} changes no weight, so the base would be shown as the tuned model: save it after "
            "training"
        )
    return hf


def _config(folder: Path) -> dict[str, Any]:
    """What an adapter's config says; refuses a directory without its weights."""
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{folder} holds no {WEIGHTS}: ivx reads safetensors adapters only")
    with boundary(CheckpointError, f"{folder / CONFIG} cannot be read", "copy it again"):
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))


def _unfit(folder: Path) -> str:
    return f"the adapter in {folder} does not fit this checkpoint"


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """What does not fit becomes one sentence, with its cure."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{_unfit(folder)}: {error}, {OTHER}") from error


def _by_peft(hf: PreTrainedModel, folder: Path) -> PreTrainedModel:
    unfit = _unfit(folder)
    try:
        from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
        from peft.utils import load_peft_weights
    except ImportError as error:
        raise CheckpointError(
            f"the adapter in {folder} is more than plain LoRA and needs the package peft: `pip install peft`"
        ) from error
    with boundary(CheckpointError, unfit), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft warns of is refused below
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        tuned = get_peft_model(hf, config)
        if not isinstance(tuned, PeftModel) or not hasattr(tuned.base_model, "merge_and_unload"):
            raise CheckpointError(
                f"the adapter in {folder} is a {config.peft_type}, which adds tokens or states instead of changing "
                "weights, so it cannot be merged: ivx reads adapters that can, such as LoRA"
            )
        found: Any = set_peft_model_state_dict(tuned, load_peft_weights(str(folder), device="cpu"))
        missing = [name for name in found.missing_keys if tuned.base_model.prefix in name]
        strange = list(found.unexpected_keys)
        if missing or strange:
            told = f"it has {strange[0]}, {NO_PLACE}" if strange else f"it lacks {missing[0]}"
            raise CheckpointError(f"{unfit}: {told}, {OTHER}")
        return tuned.merge_and_unload()
