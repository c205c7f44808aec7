"""The weights of a checkpoint: every tensor of the model must come from its file, and must be numbers.

transformers draws what a file lacks at random, drops what the model has no place for, and says so in a log at most.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ivx.errors import CheckpointError
from ivx.models.headers import Held

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.", re.ASCII)
_BESIDE = re.compile(r"^(?:model\.)?mtp\b|^v_head\.|rotary_emb\.inv_freq$|\.(?:masked_)?bias$", re.ASCII)
"""Tensors that next-token logits do not read: heads for further tokens, value heads, and buffers that are computed."""
_SHOWN = 3


def refuse_strangers(loading: dict[str, Any], held: Collection[str], *, config: Any, name: str) -> tuple[str, ...]:
    """Compare what a file holds with what was taken from it.

    Args:
        loading: `missing_keys` and `unexpected_keys`, as transformers' `from_pretrained` gives them.
        held: the names of the tensors in the file.

    Returns:
        The names of tensors that are rightly left over, such as the heads for further tokens.

    Raises:
        CheckpointError: a tensor is missing, or one is left over that should have had a place.
    """
    missing, surplus = sorted(loading["missing_keys"]), sorted(loading["unexpected_keys"])
    layers = int(config.num_hidden_layers)
    last = layers + int(getattr(config, "num_nextn_predict_layers", None) or 0)
    beyond = [tensor for tensor in sorted(held) if _layer(tensor) >= layers]
    if missing:
        prefix = _prefix(missing, surplus)
        raise CheckpointError(
            f"{name}: the tensors in its file are named with {prefix!r} before them, so none was read: save it again "
            "without that wrapper"
            if prefix
            else f"{name}: its file lacks {_some(missing)}, which would be random: fetch every file again, or save it "
            "again with the class that config.json names"
        )
    lost = [tensor for tensor in beyond if _layer(tensor) >= last]
    if lost:
        raise CheckpointError(
            f"{name}: its config.json has {layers} layers and its file more ({_some(lost)}): set num_hidden_layers to "
            f"{1 + max(map(_layer, lost))}, or save it again with fewer"
        )
    strange = [tensor for tensor in surplus if _layer(tensor) < layers and not _BESIDE.search(tensor)]
    if strange:
        raise CheckpointError(
            f"{name}: its file holds {_some(strange)}, for which the architecture of config.json has no place: the two "
            "do not belong together, or the weights are quantised or wrapped; save it again with save_pretrained"
        )
    return tuple(sorted({*surplus, *beyond}))


def misfit(empty: nn.Module, held: Mapping[str, Held]) -> str:
    """What tensor of a file has another shape than the parameter of its name, or holds whole numbers; empty for none.

    Args:
        empty: the model, without weights.
        held: the tensors in the file.
    """
    for tensor, parameter in empty.named_parameters():
        found, wanted = held.get(tensor), tuple(parameter.shape)
        if found is not None and not found.dtype.startswith(("F", "BF")):
            return (
                f"{tensor} is stored as {found.dtype}, which cannot be read as a weight in floating point: use the "
                "checkpoint that it was made from"
            )
        if found is not None and found.shape != wanted:
            return (
                f"{tensor} has the shape {found.shape} in its file, which cannot be read as the {wanted} that "
                "config.json makes it: copy both again, from one checkpoint"
            )
    return ""


def refuse_non_finite(net: nn.Module, *, name: str) -> None:
    """Refuse weights of which one is not a number or infinite, with the tensor's name."""
    for tensor, value in net.state_dict().items():
        if value.is_floating_point() and value.numel() and not torch.isfinite(torch.stack(value.aminmax())).all():
            raise CheckpointError(
                f"{name}: the tensor {tensor} holds values that are not finite: copy the weights again, or load "
                "them in a wider dtype"
            )


def _layer(tensor: str) -> int:
    """The index of the layer that a tensor belongs to; -1 for none."""
    found = _LAYER.search(tensor)
    return int(found[1]) if found else -1


def _prefix(missing: Iterable[str], surplus: Collection[str]) -> str:
    """What stands before the name of every tensor that is missing; empty where nothing does."""
    first = next(iter(missing))
    for tensor in surplus:
        if tensor.endswith(first):
            prefix = tensor.removesuffix(first)
            if all(prefix + other in surplus for other in missing):
                return prefix
    return ""


def _some(tensors: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(tensors) - _SHOWN} more" if len(tensors) > _SHOWN else ""
    return ", ".join(tensors[:_SHOWN]) + more
