"""Streamed weights: a model whose weights stay where they are, and visit the device one block after another.

They stay on disk, or in memory in the dtype of their file. Two places on the device each hold a block, in the dtype of
the arithmetic; a thread fills one while the block in the other computes. Embeddings are read by the row, the head in
tiles.
The numbers are those of the whole model: the same code does the same arithmetic on the same values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from threading import RLock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from ivx.errors import CheckpointError
from ivx.models.tensors import Files, Memory, Piece

ALIGNED = 16
"""Weights begin at multiples of so many numbers, so that kernels find them as they find a whole model's."""
GUESSED_RATE = 1e9
"""Bytes of weights in a second, before any were read."""
TILE = 8192
"""Tokens of the head that are read at once where all logits are asked for."""


class _Weight(NamedTuple):
    """A block's parameter, its name in the file, and where it lies in a place."""

    parameter: nn.Parameter
    name: str
    start: int


class Stream:
    """The weights of a model's blocks, embeddings and head, which come when they are needed.

    Args:
        names: by parameter, its name in `source`; those of blocks, embeddings and head.
    """

    def __init__(
        self,
        net: PreTrainedModel,
        blocks: list[nn.Module],
        source: Files | Memory,
        names: dict[nn.Parameter, str],
        *,
        device: torch.device,
    ) -> None:
        self.source = source
        self.embeddings: Any = net.get_input_embeddings()
        self.head: Any = net.get_output_embeddings()
        self.dtype, self.device = net.dtype, device
        self._names = names
        self._shapes = {parameter: parameter.shape for parameter in names}
        self._empty = torch.zeros((), dtype=self.dtype, device=self.device)
        self._weights = [_laid_out(block, names) for block in blocks]
        room = max(end for _, end in self._weights)
        self._places = [torch.empty(room, dtype=self.dtype, device=self.device) for _ in range(2)]
        self._held: list[int | None] = [None, None]
        self._coming: list[Future | None] = [None, None]
        self._current = -1
        self._finite: set[str] = set()
        self._moved, self._seconds = 0, 0.0
        self._lock = RLock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ivx-weights")
        self._copies: Any = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        # It concerns gradients alone, and is no row of the few that are read.
        vars(self.embeddings).update(padding_idx=None)
        for parameter in names:
            self._let_go(parameter)
        for layer, block in enumerate(blocks):
            block.__dict__["forward"] = _held(block.forward, self, layer)
        self.embeddings.__dict__["forward"] = self._embedding(self.embeddings.forward)
        self.head.__dict__["forward"] = self._whole_head

    @property
    def where(self) -> str:
        """Where the weights stay, in words."""
        return "on disk" if isinstance(self.source, Files) else "in memory, in the dtype of their file"

    @property
    def way(self) -> str:
        """How weights are had, as `ivx.load` takes it."""
        return "stream" if isinstance(self.source, Files) else "compact"

    @property
    def held(self) -> int:
        """Bytes that are in memory throughout: both places for a block, and the weights where they stay there."""
        return sum(place.nbytes for place in self._places) + (
            self.source.size if isinstance(self.source, Memory) else 0
        )

    @property
    def size(self) -> int:
        """Bytes that a pass over all layers reads: the blocks and the head; of the embeddings only rows are read."""
        names = {weight.name for weights, _ in self._weights for weight in weights}
        return sum(self.source.stored[name].size for name in names | {self._names[self.head.weight]})

    @property
    def rate(self) -> float:
        """Bytes of weights that were made ready in a second so far; a guess before any was."""
        return self._moved / self._seconds if self._seconds else GUESSED_RATE

    def hold(self, layer: int) -> None:
        """Have this block's weights on the device, until another block's are asked for; begin to fetch the next."""
        with self._lock:
            if layer == self._current:
                return
            place = self._held.index(layer) if layer in self._held else 1 - self._place()
            if self._held[place] != layer:
                self._fetch(layer, place)
            coming, self._coming[place] = self._coming[place], None
            if coming is not None:
                self._held[place] = None  # until it has arrived
                self._arrived(coming)
                self._held[place] = layer
            step = layer - self._current if abs(layer - self._current) == 1 else 1
            self._current = layer
            weights, _ = self._weights[layer]
            for parameter, _, start in weights:
                parameter.data = self._places[place][start : start + parameter.numel()].view(parameter.shape)
            self._fetch((layer + step) % len(self._weights), 1 - place)

    def _place(self) -> int:
        """The place of the block that computes."""
        return self._held.index(self._current) if self._current in self._held else 1

    def _fetch(self, layer: int, place: int) -> None:
        """Begin to fill a place; the block that lay there has no weights any more."""
        if self._held[place] == layer:
            return
        coming, self._coming[place] = self._coming[place], None
        if coming is not None:
            coming.exception()  # nobody wants it any more: it has only to end
        if (before := self._held[place]) is not None:
            for parameter, _, _ in self._weights[before][0]:
                self._let_go(parameter)
            if before == self._current:
                self._current = -1
        self._held[place] = layer
        done = torch.cuda.current_stream(self.device).record_event() if self._copies else None
        self._coming[place] = self._reader.submit(self._fill, layer, place, done)

    def _let_go(self, parameter: nn.Parameter) -> None:
        # It keeps its shape: one number, seen everywhere.
        parameter.data = self._empty.expand(self._shapes[parameter])

    def _fill(self, layer: int, place: int, done: Any) -> Any:
        """In the reader's thread: a block's weights, in the dtype of the arithmetic."""
        if self._copies is None:
            self._copy(layer, place)
            return None
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(done)  # what computes with the block before
            self._copy(layer, place)
            return self._copies.record_event()

    def _copy(self, layer: int, place: int) -> None:
        weights, _ = self._weights[layer]
        began = time.perf_counter()
        for parameter, name, start in weights:
            found = self._known_finite(self.source.read(Piece(name)), name)
            self._places[place][start : start + parameter.numel()].view(parameter.shape).copy_(found)
            self._moved += self.source.stored[name].size
        self._seconds += time.perf_counter() - began

    def _known_finite(self, found: Tensor, name: str) -> Tensor:
        """Refuse numbers that are none, where a tensor is read for the first time."""
        if name not in self._finite:
            if found.is_floating_point() and not torch.isfinite(torch.stack(found.aminmax())).all():
                raise CheckpointError(f"the tensor {name} holds values that are not finite: copy the weights again")
            self._finite.add(name)
        return found

    def _arrived(self, coming: Future) -> None:
        event = coming.result()
        if event is not None:
            torch.cuda.current_stream(self.device).wait_event(event)

    def _embedding(self, own: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The embeddings' own code, on a table of those rows alone that it is asked for."""
        weight = self.embeddings.weight

        @wraps(own)
        def forward(ids: Tensor) -> Tensor:
            which, at = ids.unique(return_inverse=True)
            with self._lock:
                weight.data = self.rows(weight, which.tolist())
                try:
                    return own(at)
                finally:
                    self._let_go(weight)

        return forward

    def rows(self, weight: nn.Parameter, which: list[int]) -> Tensor:
        """Some rows of the embeddings or the head, in the dtype of the arithmetic."""
        return self.source.rows(self._names[weight], which).to(self.device, self.dtype)

    def tile(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the head, in the dtype of the arithmetic."""
        name = self._names[self.head.weight]
        with self._lock:
            found = self.source.read(Piece(name, start, stop))
            return self._known_finite(found, f"{name}, rows {start} to {stop}").to(self.device, self.dtype, copy=True)

    def _whole_head(self, hidden: Tensor) -> Tensor:
        every = len(self.head.weight)
        parts = [
            functional.linear(hidden, self.tile(start, min(start + TILE, every))) for start in range(0, every, TILE)
        ]
        found = torch.cat(parts, dim=-1)
        return found if self.head.bias is None else found + self.head.bias


def _laid_out(block: nn.Module, names: dict[nn.Parameter, str]) -> tuple[list[_Weight], int]:
    """Where each of a block's weights lies in a place, and how large the place must be."""
    found, end = [], 0
    for parameter in block.parameters():
        found.append(_Weight(parameter, names[parameter], end))
        end += -(-parameter.numel() // ALIGNED) * ALIGNED
    return found, end


def _held(own: Callable[..., Any], stream: Stream, layer: int) -> Callable[..., Any]:
    """A block's code, run while its weights are there."""

    @wraps(own)
    def here(*args: Any, **named: Any) -> Any:
        stream.hold(layer)
        return own(*args, **named)

    @wraps(own)
    def forward(*args: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            # A gradient needs the weights again when they have gone: the block is run again on the way back.
            return checkpoint(here, *args, use_reentrant=False, preserve_rng_state=False, **named)
        return here(*args, **named)

    return forward
