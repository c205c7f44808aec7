"""What pathways find outside their table: slots, comparisons, causal curves, paths, and how exact the sums are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ivx.analyses.pathways.areas import Area
from ivx.analyses.pathways.faithfulness import Curve, Explained
from ivx.analyses.pathways.overlap import Overlap
from ivx.analyses.pathways.slots import Slot
from ivx.engine.linear.records import Begun, Path, Published


@dataclass(frozen=True)
class Traced:
    """The strongest paths of one sample; token numbers are of its instructed prompt."""

    item: int
    total: float
    settled: bool
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class SumError:
    """How exact the surrogate is here: the worst cosine and norm ratio of summed logits to the model's over some
    samples, the largest error of any identity over all, and the published sum of each traced sample."""

    cosine: float
    ratio: float
    deviation: float
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Findings:
    """Findings outside the table: slots and drawings' shares by kind of run, comparisons, causal curves, paths, and
    rankings."""

    slots: dict[str, tuple[Slot, ...]]
    explained: dict[str, tuple[Explained, ...]]
    overlaps: tuple[Overlap, ...]
    curves: tuple[Curve, ...]
    traced: tuple[Traced, ...]
    fidelity: SumError
    areas: tuple[Area, ...] = ()
    starts: tuple[tuple[Begun, ...], ...] = ()
    """Of each traced sample, where its published paths begin; empty in runs made before this was counted."""


def plain(fidelity: SumError) -> dict[str, Any]:
    """As JSON has it."""
    sums = [
        {**told._asdict(), "everything": told.everything._asdict(), "ranked": told.ranked and told.ranked._asdict()}
        for told in fidelity.published
    ]
    return {**asdict(fidelity), "published": sums}
