"""A shard of a sweep: some of its samples, computed on one replica of the model, by plan or by hooks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import torch

from ivx.engine.address import INSIDE
from ivx.engine.hooks import run as by_hooks
from ivx.engine.how import How, Maker
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.proof import unfit
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Workload
from ivx.errors import IvxError
from ivx.models.memory import free_bytes
from ivx.models.model import Model

Beat = Callable[[], None]
"""Called now and then; what it raises ends the work."""


@dataclass(frozen=True)
class Terms:
    """How a sweep is to be computed, as `ivx.sweep` was asked.

    Attributes:
        memory_gb: bound on the working set of all replicas that share a device; by default half of what is free.
    """

    attention: str = "auto"
    engine: str = "auto"
    memory_gb: float | None = None


class Replica:
    """A model of this process, and what it does of a sweep.

    Attributes:
        name: its own among those that share the sweep.
        device: where it lies.
        kernels: what became of kernels made for a GPU.
    """

    def __init__(self, model: Model, asked: Workload, terms: Terms, *, name: str = "", beside: int = 1) -> None:
        """`beside` counts the replicas on its device, which share memory and cores."""
        self.name, self.device = name, str(model.device)
        self.kernels: set[str] = set()
        self._model, self._asked, self._terms, self._beside = model, asked, terms, beside
        self._cores = max(1, torch.get_num_threads() // beside)

    def begin(self, beat: Beat) -> str:
        """Why hooks do the work; empty where the plan does."""
        with self._alone():
            return hooks_because(self._model, self._terms, self._asked)

    def rows(self, samples: Sequence[int], beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        """The rows of these samples as they finish; `beat` is called between layers."""
        with self._alone():
            budget = (self._terms.memory_gb or FREE_SHARE * free_bytes(self.device) / 1e9) / self._beside
            asked = self._asked.of(samples)
            if hooks_because(self._model, self._terms, asked):
                batches = by_hooks.run(self._model, asked, memory_gb=budget)
            else:
                planned = by_plan.run(self._model, asked, memory_gb=budget, beat=beat, note=self.kernels.add)
                batches = _mended(self._model, asked, planned, budget)
            for batch in batches:
                yield _numbered(batch, samples)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        here = torch.cuda.device(self.device) if self.device.startswith("cuda") else nullcontext()
        with only_user(self._model), _attention(self._model, self._terms.attention), torch.inference_mode(), here:
            if self._beside > 1:
                torch.set_num_threads(self._cores)
            yield


class Alone:
    """A sweep on one replica, in the caller's thread.

    Attributes:
        how: who makes its rows.
    """

    def __init__(self, replica: Replica, samples: int) -> None:
        self._replica, self._samples = replica, samples
        self.how = How()

    def rows(self, beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        """The rows as they finish; `beat` is called between layers."""
        self.how = How(frozenset([Maker("", self._replica.device, self._replica.begin(beat))]))
        yield from self._replica.rows(range(self._samples), beat)
        self.how |= How(kernels=frozenset(self._replica.kernels))


def hooks_because(model: Model, terms: Terms, asked: Workload) -> str:
    """Why hooks do this sweep; empty where the plan does."""
    if terms.engine == "hooks":
        return "asked for"
    if terms.attention != "auto":
        return f"attention={terms.attention}"
    inside = sorted({patch.site for patches in asked.patches.values() for patch in patches} & set(INSIDE))
    why = f"{', '.join(inside)} lie inside attention, which no plan reaches" if inside else unfit(model)
    if why is not None and terms.engine == "plan":
        raise IvxError(f"{model.name} cannot be swept by plan: {why}; leave the engine to auto")
    return why or ""


def _mended(
    model: Model, asked: Workload, batches: Iterator[pa.RecordBatch], memory_gb: float
) -> Iterator[pa.RecordBatch]:
    """The planned rows, those that are undefined computed again by hooks.

    What prompts share the plan computes once, in the company of one of them, and under a mask 0 times NaN is NaN: so a
    prompt whose states overflow would take others with it.
    """
    lost: set[tuple[int, str]] = set()
    for batch in batches:
        there = batch["logit"].is_valid()
        if there.false_count:
            gone = batch.filter(pc.invert(there))
            lost.update(zip(gone["sample"].to_pylist(), gone["patch"].to_pylist(), strict=True))
            batch = batch.filter(there)
        if batch.num_rows:
            yield batch
    if lost:
        yield from by_hooks.run(model, asked, memory_gb=memory_gb, only=lost)


def _numbered(batch: pa.RecordBatch, samples: Sequence[int]) -> pa.RecordBatch:
    """A shard's rows with the samples' numbers in the whole sweep."""
    whole = pa.array(samples, pa.int32()).take(batch["sample"])
    return batch.set_column(batch.schema.get_field_index("sample"), batch.schema.field("sample"), whole)


@contextmanager
def _attention(model: Model, kind: str) -> Iterator[None]:
    before = model.hf.config._attn_implementation
    if kind in ("auto", before):
        yield
        return
    model.hf.set_attn_implementation(kind)
    try:
        yield
    finally:
        model.hf.set_attn_implementation(before)
