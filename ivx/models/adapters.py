"""Adapters (LoRA and its kin): merged into a checkpoint's weights, or one sentence says why they cannot be."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ivx.errors import CheckpointError, boundary
from ivx.models import fingerprint, headers, lora
from ivx.models.contents import ADAPTED, ADAPTER, Contents, contents_of
from ivx.models.lora import NO_PLACE
from ivx.models.registry import TAUGHT

CONFIG, WEIGHTS = ADAPTER, ADAPTED
MERGED = frozenset(
    {
        *("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "HRA", "FOURIERFT", "VBLORA"),
        *("RANDLORA", "SHIRA", "C3A", "ROAD", "WAVEFT", "DELORA", "GRALORA", "MISS", "HIRA"),
        *("LN_TUNING", "OSF", "TRAINABLE_TOKENS"),
    }
)
"""What peft makes of an adapter's own two files. Other kinds read a model, a tokenizer or a cache that they name."""
OTHER = "as when it was trained on another model: give the base that it was trained on"


def told(base: str, folder: Path) -> str:
    """What is said of a checkpoint into which the adapter in a directory was merged."""
    here = any(one.adapter == folder for one in TAUGHT)
    return f"LoRA on {base}, taught here" if here else f"adapter {folder.expanduser().resolve().name}"


def refuse_unfit(folder: Path, config: Any) -> None:
    """Raise `CheckpointError` where the headers of a plain adapter's file say that it does not fit a model of this
    config; what is more than plain LoRA is judged where it is merged."""
    told = _held(folder).document(CONFIG)
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
    held = _held(folder)
    config = held.document(CONFIG)
    matrices = lora.targets(hf, config)
    if matrices is None:
        before = fingerprint.of_parameters(hf)
        _refuse_what_reads_more(config, folder)
        with held.adapter_alone() as place:
            hf = _by_peft(hf, place, folder)
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


def _held(folder: Path) -> Contents:
    """An adapter's files; refuses a directory without them."""
    held = contents_of(folder, name="the adapter")
    for own in (CONFIG, WEIGHTS):
        if own not in held.files:
            raise CheckpointError(f"{folder} holds no {own}: ivx reads safetensors adapters only")
    return held


def _unfit(folder: Path) -> str:
    return f"the adapter in {folder} does not fit this checkpoint"


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """What does not fit becomes one sentence, with its cure."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{_unfit(folder)}: {error}, {OTHER}") from error


def _refuse_what_reads_more(config: dict[str, Any], folder: Path) -> None:
    """Refuse an adapter for which peft would import, fetch or read something beside the adapter's own files."""
    kind = config.get("peft_type")
    if not isinstance(kind, str) or kind not in MERGED:
        raise CheckpointError(
            f"the adapter in {folder} is a {str(kind):.40}, which adds tokens or states instead of changing weights, "
            "or reads another model as it is made, so it cannot be merged: ivx reads adapters that can, such as LoRA"
        )
    more = next((key for key, value in config.items() if key.endswith("_config") and value), None)
    if more is not None:
        raise CheckpointError(
            f"the adapter in {folder} says {more!r:.60} in its {CONFIG}, which names code or files that are no part of "
            "it: merge it into its base first, and load that"
        )


def _by_peft(hf: PreTrainedModel, place: Path, folder: Path) -> PreTrainedModel:
    """As `merged`, of an adapter that was laid out at `place`; `folder` is where it lies, for what is said."""
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
        config = PeftConfig.from_pretrained(str(place))
        config.inference_mode = True
        tuned = get_peft_model(hf, config)
        if not isinstance(tuned, PeftModel) or not hasattr(tuned.base_model, "merge_and_unload"):
            raise CheckpointError(
                f"the adapter in {folder} is a {config.peft_type}, which adds tokens or states instead of changing "
                "weights, so it cannot be merged: ivx reads adapters that can, such as LoRA"
            )
        found: Any = set_peft_model_state_dict(tuned, load_peft_weights(str(place), device="cpu"))
        missing = [name for name in found.missing_keys if tuned.base_model.prefix in name]
        strange = list(found.unexpected_keys)
        if missing or strange:
            told = f"it has {strange[0]}, {NO_PLACE}" if strange else f"it lacks {missing[0]}"
            raise CheckpointError(f"{unfit}: {told}, {OTHER}")
        return tuned.merge_and_unload()
