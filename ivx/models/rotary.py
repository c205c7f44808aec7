"""Rotary embeddings whose frequencies follow the prompt's length: at every run they begin as they were loaded.

transformers keeps the frequencies of the longest prompt so far (dynamic NTK), or copies the long ones over the short
(LongRoPE), so that a prompt's logits would depend on what was run before it.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from torch import Tensor, nn

_SEEN: WeakSet[nn.Module] = WeakSet()


def forget_prompts(net: nn.Module) -> None:
    """Make every such embedding of a model begin anew at each run."""
    for part in net.modules():
        if part not in _SEEN and _follows_length(getattr(part, "rope_type", None)):
            _SEEN.add(part)
            part.register_forward_pre_hook(_Reset(part))


def _follows_length(kind: Any) -> bool:
    kinds = kind.values() if isinstance(kind, dict) else [kind]
    return any(isinstance(one, str) and ("dynamic" in one or one == "longrope") for one in kinds)


class _Reset:
    """Sets an embedding's frequencies, lengths and scale back to what they were when it was made."""

    def __init__(self, part: nn.Module) -> None:
        self._buffers = {name: value.clone() for name, value in part.named_buffers(recurse=False)}
        self._facts = {
            name: value.clone() if isinstance(value, Tensor) else value
            for name, value in vars(part).items()
            if name.endswith(("inv_freq", "max_seq_len_cached", "attention_scaling"))
        }

    def __call__(self, part: nn.Module, args: Any) -> None:
        for name, value in self._buffers.items():
            part.register_buffer(name, value.to(part.get_buffer(name).device, copy=True), persistent=False)
        for name, value in self._facts.items():
            setattr(part, name, value.clone() if isinstance(value, Tensor) else value)
