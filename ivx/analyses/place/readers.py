"""Readers: which blocks, and which of their heads, read the vector at its place.

The vector is put on a token at layer a, and the token's own value back at layer b, so that only blocks a+1 to b have
read it: R(b). A step of this curve is a block that reads. A head's share is what is lost when its output behind the
place is what it is unpatched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ivx.analyses.place.search import Reading, named
from ivx.stats.intervals import Array, Ints, mean_interval
from ivx.stats.metrics import Metric
from ivx.stats.verdict import verdicts

STEP = 0.05
"""Of the whole effect: a smaller step names no reading block, and a smaller share no reading head."""


@dataclass(frozen=True)
class Step:
    """A block of the reader curve, or a head: what is read so far with its interval and the control's, and its own step
    with interval, p and state (`ivx.stats.verdict`). Of a head both are its share."""

    block: int
    value: float
    low: float
    high: float
    control: float
    step: float
    step_low: float
    step_high: float
    p: float
    state: str
    head: int | None = None


@dataclass(frozen=True)
class Readers:
    """The reader curve from layer `layer` on, the blocks that read, and the heads of these, where they were run.

    `whole` is the effect that nothing is restored in.
    """

    layer: int
    whole: float
    steps: tuple[Step, ...]
    heads: tuple[Step, ...] = ()

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks that read the vector."""
        return tuple(step.block for step in self.steps if step.state == "ok" and step.step > 0)


def readers_of(
    reading: Reading,
    layer: int,
    curve: Sequence[str],
    *,
    whole: str,
    cells: Callable[[tuple[int, ...]], list[tuple[int, int, str]]],
    part: range,
    control: str,
    view: Metric,
    groups: Ints,
    seed: int,
) -> Readers | None:
    """The readers in one metric; None while the curve's rows are not done.

    Args:
        curve: patches of the curve, block by block from `layer` + 1; `whole` is the patch alone.
        cells: (block, head, patch) of the heads of some blocks.
        control: the name of the control whose curve stands beside.
    """
    beside = [named(control, patch) for patch in curve]
    if not all(reading.has("effect", patch, part) for patch in curve):
        return None
    if not all(reading.has(*each, part) for each in beside):
        return None
    values = np.stack([reading.effect("effect", patch, part) for patch in curve])
    theirs = np.stack([reading.effect(*each, part) for each in beside])
    alone = reading.effect("effect", whole, part)
    size = float(np.nanmean(alone))
    floor = max(view.floor, STEP * abs(size))
    blocks = range(layer + 1, layer + 1 + len(curve))
    steps = _judged(values, theirs, np.diff(values, axis=0, prepend=0.0), np.diff(theirs, axis=0, prepend=0.0),
                    floor=floor, view=view, groups=groups, seed=seed, places=[(b, None) for b in blocks])  # fmt: skip
    found = Readers(layer, size, steps)
    heads = [cell for cell in cells(found.blocks) if reading.has("effect", cell[2], part)]
    heads = [cell for cell in heads if reading.has(*named(control, cell[2]), part)]
    if not heads:
        return found
    lost = np.stack([alone - reading.effect("effect", patch, part) for _, _, patch in heads])
    alone_beside = reading.effect(*named(control, whole), part)
    lost_beside = np.stack([alone_beside - reading.effect(*named(control, patch), part) for _, _, patch in heads])
    shares = _judged(lost, lost_beside, lost, lost_beside, floor=floor, view=view, groups=groups, seed=seed,
                     places=[(block, head) for block, head, _ in heads])  # fmt: skip
    return Readers(layer, size, steps, shares)


def _judged(
    values: Array,
    control: Array,
    steps: Array,
    control_steps: Array,
    *,
    floor: float,
    view: Metric,
    groups: Ints,
    seed: int,
    places: Sequence[tuple[int, int | None]],
) -> tuple[Step, ...]:
    low, high = mean_interval(values, seed=seed, groups=groups)
    judged = verdicts(steps, control_steps, floor=floor, shares=view.shares, groups=groups, seed=seed)
    return tuple(
        Step(
            block,
            float(np.nanmean(values[k])),
            float(low[k]),
            float(high[k]),
            float(np.nanmean(control[k])),
            verdict.value,
            verdict.low,
            verdict.high,
            verdict.p,
            verdict.state,
            head,
        )
        for k, ((block, head), verdict) in enumerate(zip(places, judged, strict=True))
    )
