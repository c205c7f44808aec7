"""Compiled regions: what a block does before attention, and what it does after, each as one graph of kernels.

A region is the block's own code, traced with its weights as inputs. So one graph serves every layer whose trace reads
the same, whatever tensors its weights are at the moment of a call; it is made once for each padded token count, and
kept under `cache/kernels`, where the next process finds it.

A patch is never inside compiled code. A layer whose region does not give what its own code gives on random states is
left to its own code; so is one that cannot be traced, and every layer where no compiler is. float64 is, too: there it
is the exact arithmetic that is asked for.

CUDA graphs are left out: they replay fixed addresses, so weights that are inputs would be copied before every replay.
That reads and writes most of a layer, to spare the about ten launches that its two regions have left.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ivx.engine.forward.graphs import (
    AGREE,
    Failure,
    Kernel,
    Own,
    compiled,
    first_line,
    misses,
    names_of,
    traced,
    within,
)

SMALL = 16
"""Tokens at which layers are traced to see which are alike."""
ROWS = 8
"""Tokens of a proof that the block's own code computes, too."""


@dataclass
class Part:
    """One layer's region.

    Attributes:
        weights: where the block's weights are: modules, and their names in them.
        alike: the text of its graph for few tokens, the same in layers that are alike.
        proved: token counts at which it was compared with the block's own code.
        failure: why that code has to be used.
    """

    weights: list[tuple[nn.Module, str]]
    alike: str = ""
    proved: set[int] = field(default_factory=set)
    failure: Failure | None = None


_parts: WeakKeyDictionary[nn.Module, dict[Hashable, Part]] = WeakKeyDictionary()
"""The regions of a block in memory, by name, dtype, and what its modules were when it was traced."""
_kernels: dict[tuple[str, int], Kernel | Failure] = {}
"""What was compiled in this process, by `Part.alike` and the token count."""


class Regions:
    """The compiled regions of a model's blocks, as one sweep uses them.

    Args:
        blocks: the model's blocks.
        own: by name, what makes a layer's region from its own code.
        hold: called with a layer before its weights are read.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], own: Mapping[str, Callable[[int], Own]], *, hold: Callable[[int], None]
    ) -> None:
        self.blocks, self.own, self.hold = blocks, own, hold
        self.used: dict[tuple[str, int], Part] = {}
        self.seconds, self.made = 0.0, 0

    def __call__(self, name: str, layer: int, *inputs: Tensor) -> Sequence[Tensor] | None:
        """The region's outputs `[tokens, …]` for inputs `[1, tokens, …]`; None where the block's own code is needed."""
        self.hold(layer)
        part = self.used.get((name, layer)) or self._part(name, layer, inputs)
        if part.failure is not None:
            return None
        size = inputs[0].shape[1]
        kernel = _kernels.get((part.alike, size)) or self._made(name, layer, part, inputs)
        if isinstance(kernel, Failure):
            part.failure = kernel
            return None
        if size not in part.proved:
            part.failure = self._differs(name, layer, part, kernel, inputs)
            part.proved.add(size)
        return None if part.failure is not None else _run(kernel, part, inputs)

    @property
    def report(self) -> str | None:
        """What became of the kernels, in a sentence without its full stop; None before the first call."""
        lost: dict[str, dict[str, int]] = {}
        for (name, _), part in self.used.items():
            if part.failure is not None:
                layers = lost.setdefault(part.failure.why, {})
                layers[name] = layers.get(name, 0) + 1
        if all(part.failure is not None for part in self.used.values()):
            return f"not compiled: {'; '.join(lost)}" if lost else None
        n = len(self.blocks)
        left = [
            f"not compiled {name}{'' if layers == n else f' in {layers} of {n} layers'}: {why}"
            for why, names in lost.items()
            for name, layers in names.items()
        ]
        kernels = f"kernels made in {max(1, round(self.seconds))} s" if self.made else "kernels from cache"
        return "; ".join([kernels, *left])

    def _part(self, name: str, layer: int, inputs: Sequence[Tensor]) -> Part:
        block, dtype = self.blocks[layer], inputs[0].dtype
        known, key = _parts.setdefault(block, {}), (name, dtype, signature(block))
        if key not in known:
            part = Part([(block.get_submodule(path), last) for path, last in names_of(block)])
            if dtype in AGREE:
                few = torch.zeros(SMALL, dtype=torch.long, device=inputs[0].device)
                graph = traced(block, self.own[name](layer), [at(x, few) for x in inputs])
                if isinstance(graph, Failure):
                    part.failure = graph
                else:
                    part.alike = graph.text
            else:
                part.failure = Failure(f"{str(dtype).removeprefix('torch.')} is left to the model's own code")
            known[key] = part
        self.used[name, layer] = known[key]
        return known[key]

    def _made(self, name: str, layer: int, part: Part, inputs: Sequence[Tensor]) -> Kernel | Failure:
        begun, before = perf_counter(), misses()
        graph = traced(self.blocks[layer], self.own[name](layer), inputs)
        kernel = graph if isinstance(graph, Failure) else compiled(graph)
        _kernels[part.alike, inputs[0].shape[1]] = kernel
        self.seconds += perf_counter() - begun
        self.made += misses() - before
        return kernel

    def _differs(self, name: str, layer: int, part: Part, kernel: Kernel, inputs: Sequence[Tensor]) -> Failure | None:
        """How a kernel differs from the block's own code on random states, of which that computes a few rows."""
        size, device = inputs[0].shape[1], inputs[0].device
        generator = torch.Generator(device).manual_seed(0)
        drawn = [
            torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype) if x.is_floating_point() else x
            for x in inputs
        ]
        rows = torch.linspace(0, size - 1, min(size, ROWS), device=device).long()
        try:
            found = _run(kernel, part, drawn)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError) as error:
            return Failure(first_line(error))
        own = self.own[name](layer)(*(at(x, rows) for x in drawn))
        for one, other in zip(found, (x for x in own if isinstance(x, Tensor)), strict=True):
            apart, largest = float((one[rows] - other).abs().max()), float(other.abs().max())
            if not apart <= within(inputs[0]) * largest:
                return Failure(
                    f"compiled code differs from the model's own by {apart / largest:.0e} of the largest value"
                )
        return None


def at(value: Tensor, positions: Tensor) -> Tensor:
    """These tokens of an input; one without an axis of tokens as it is."""
    if value.ndim >= 2 and value.shape[0] == 1:
        return value.index_select(1, positions)
    return value.index_select(0, positions) if value.ndim == 1 else value


def signature(block: nn.Module) -> Hashable:
    """What a trace takes for granted of a block: which modules it has, and the plain values that they hold."""
    plain = (bool, int, float, str, type(None))
    return tuple(
        (id(module), tuple((name, value) for name, value in vars(module).items() if isinstance(value, plain)))
        for module in block.modules()
    )


def _run(kernel: Kernel, part: Part, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    n = len(inputs)
    return kernel.run(*(inputs[i] if i < n else getattr(*part.weights[i - n]) for i in kernel.reads))
