"""A checkpoint in memory: Hugging Face's own modules, the facts about them, and what identifies the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ivx.models.anatomy import Anatomy
from ivx.models.cluster import Cluster
from ivx.models.stream import Stream


@dataclass(frozen=True, eq=False)
class Model:
    """What `ivx.load` and `ivx.wrap` return.

    Attributes:
        name: as it was asked for.
        source: the directory or hub id that the weights came from, or "memory".
        fingerprint: hash of weights and tokenizer; the same weights have the same one wherever they lie.
        collection: the built-in tasks that fit it: `tiny`, `tiny-period` or `english`.
        part: what of the checkpoint was taken, such as "text part of Gemma3ForConditionalGeneration"; None where all.
        quantisation: how its weights were kept before they were dequantised, such as "fp8, dequantised"; None where
            they were not.
        merged: which adapters were merged into its weights, such as "LoRA on smollm2, taught here"; None where none.
        stream: where the weights come from when they are needed; None where all are in memory as they are used.
        surplus: names of tensors in its file that it rightly has no use for, such as heads for further tokens.
        replicas: the same weights on further devices, which share a sweep's samples with it.
        cluster: a Ray cluster whose actors compute sweeps in its place.
    """

    name: str
    hf: PreTrainedModel
    tokenizer: Any
    anatomy: Anatomy
    fingerprint: str
    source: str = "memory"
    collection: str = "english"
    surplus: tuple[str, ...] = ()
    part: str | None = None
    quantisation: str | None = None
    merged: str | None = None
    stream: Stream | None = None
    replicas: tuple[Model, ...] = ()
    cluster: Cluster | None = None

    @property
    def identity(self) -> dict[str, str]:
        """What a receipt says of the checkpoint."""
        told = {"name": self.name, "fingerprint": self.fingerprint, "source": self.source}
        more = {"part": self.part, "quantisation": self.quantisation, "merged": self.merged}
        return told | {key: value for key, value in more.items() if value is not None}

    @cached_property
    def blocks(self) -> list[nn.Module]:
        """The transformer blocks, first to last."""
        return list(self.hf.get_submodule(self.anatomy.blocks).children())

    def module(self, layer: int, path: str) -> nn.Module:
        """A module of one block, by its path in the block."""
        return self.blocks[layer].get_submodule(path)

    def hold(self, layer: int) -> None:
        """Have a block's weights ready; where all are in memory there is nothing to do."""
        if self.stream is not None:
            self.stream.hold(layer)

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @cached_property
    def heads(self) -> int:
        """Number of query heads."""
        return int(self.hf.config.num_attention_heads)

    @cached_property
    def key_heads(self) -> int:
        """Number of key heads, each of which as many query heads share."""
        return int(getattr(self.hf.config, "num_key_value_heads", None) or self.heads)

    @cached_property
    def head_dim(self) -> int:
        """Width of one head's `z`: that of its values, which some architectures make unlike that of its keys."""
        config = self.hf.config
        told = getattr(config, "v_head_dim", None) or getattr(config, "head_dim", None)
        return int(told or config.hidden_size // config.num_attention_heads)

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return int(self.hf.config.hidden_size)

    @property
    def vocabulary(self) -> int:
        """Number of token ids the read-out covers."""
        return int(self.hf.config.vocab_size)

    @cached_property
    def reach(self) -> int | None:
        """The most tokens a prompt may have where positions have a learned table; None where they are computed."""
        most = getattr(self.hf.config, "max_position_embeddings", None)
        tokens = self.hf.get_input_embeddings()
        tables = [part for part in self.hf.modules() if isinstance(part, nn.Embedding) and part is not tokens]
        return int(most) if most and any(0 <= part.num_embeddings - most <= 8 for part in tables) else None

    @property
    def dtype(self) -> torch.dtype:
        """dtype of weights and states."""
        return self.hf.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.hf.device
