"""Graphs: a function of a block's modules as operations alone, with the weights as inputs, and its compiled kernels.

Kernels are kept under `cache/kernels`, where the next process finds them: torch's own caches, by the graph's content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from ivx.models.paths import cache

AGREE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Largest deviation, relative to the largest value, of a region from the block's own code on the same states: products
of other sizes sum in another order, and compiled half precision rounds once, not at every operation."""
AGREE_TF32 = 5e-3
"""The same for float32 where torch was told to multiply it in TF32."""

PLACE, TRITONS = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"

Own = Callable[..., tuple[Any, ...]]
"""A region by a block's own code: inputs `[1, tokens, …]`, outputs `[tokens, …]`, each token by itself. What is no
tensor among the outputs is left out of a graph."""


class Failure(NamedTuple):
    """Why there is no kernel."""

    why: str


class Graph(NamedTuple):
    """A traced region, and which of its inputs and weights, counted in this order, it reads."""

    module: fx.GraphModule
    reads: tuple[int, ...]

    @property
    def shapes(self) -> list[Any]:
        """What it reads, without values."""
        return [node.meta["val"] for node in self.module.graph.nodes if node.op == "placeholder"]

    @property
    def text(self) -> str:
        """The same for graphs that compute the same."""
        read = [(x.dtype, tuple(x.shape), x.stride(), x.device) for x in self.shapes]
        return f"{self.reads} {read}\n{self.module.code}"


class Kernel(NamedTuple):
    """A compiled graph, and what it reads."""

    run: Callable[..., Sequence[Tensor]]
    reads: tuple[int, ...]


_lock = Lock()
"""Held while something is traced or compiled, which torch does for one thread at a time."""


def traced(block: nn.Module, run: Own, inputs: Sequence[Tensor]) -> Graph | Failure:
    """The operations of `run`, a function that calls the block's modules, on inputs like these.

    Nothing is computed; the weights are read as further inputs, and what no output needs is left out.
    """
    # Late: without kernels a sweep needs none of it.
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    whole, n = _Whole(block, run), len(inputs)
    names = [f"block.{path}.{last}" if path else f"block.{last}" for path, last in names_of(block)]

    def function(*given: Tensor) -> Sequence[Tensor]:
        return functional_call(whole, dict(zip(names, given[n:], strict=True)), given[:n])

    with FakeTensorMode():
        like = [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
            for x in (*inputs, *block.parameters(), *block.buffers())
        ]
    try:
        with _lock:
            module = make_fx(function, tracing_mode="fake")(*like)
    except (DataDependentOutputException, DynamicOutputShapeException):
        return Failure("which operations run depends on the states, as with experts")
    except Exception as error:  # whatever code does that cannot be traced, it still runs as it is
        return Failure(first_line(error))
    if any(node.op == "get_attr" for node in module.graph.nodes):
        return Failure("a block computes with a tensor that is none of its weights")
    module.graph.eliminate_dead_code()
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    reads = tuple(i for i, node in enumerate(placeholders) if node.users)
    for node in placeholders:
        if not node.users:
            module.graph.erase_node(node)
    module.recompile()
    return Graph(module, reads)


def compiled(graph: Graph) -> Kernel | Failure:
    """A graph's kernels, read from `cache/kernels` where they are there."""
    try:
        with _lock:
            keep()
            from torch._inductor import standalone_compile  # late: it takes seconds

            run = standalone_compile(graph.module, graph.shapes, dynamic_shapes="from_example_inputs")
    except Exception as error:  # no compiler, or one that fails: the block's own code is there
        return Failure(first_line(error))
    return Kernel(run, graph.reads)


def keep() -> None:
    """Keep kernels under `cache/kernels` from here on, unless torch or Triton was told another place."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # torch writes its default into the environment itself, so that value is nobody's choice.
    if os.environ.get(PLACE) in (None, default_cache_dir()):
        os.environ[PLACE] = str(cache() / "kernels")
    os.environ.setdefault(TRITONS, str(cache() / "kernels" / "triton"))


class _Whole(nn.Module):
    """A block beside a function that calls its modules: `functional_call` puts weights into what it is given."""

    def __init__(self, block: nn.Module, run: Own) -> None:
        super().__init__()
        self.block, self.run = block, run

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(x for x in self.run(*inputs) if isinstance(x, Tensor))


def names_of(block: nn.Module) -> Iterator[tuple[str, str]]:
    """The block's parameters and buffers: path of the module, and name in it."""
    for name, _ in (*block.named_parameters(), *block.named_buffers()):
        path, _, last = name.rpartition(".")
        yield path, last


def within(states: Tensor) -> float:
    """How far a region may be from the block's own code."""
    if states.is_cuda and states.dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32":
        return AGREE_TF32
    return AGREE[states.dtype]


def misses() -> int:
    """How many graphs torch compiled in this process because they were not kept."""
    from torch._dynamo.utils import counters

    return counters["inductor"]["fxgraph_cache_miss"] + counters["inductor"]["fxgraph_cache_bypass"]


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
