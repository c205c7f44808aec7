"""The result of a separability request: a tidy table, and the curves, maps and planes that can be read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import stats

from ivx.analyses.base import Result
from ivx.analyses.separability import geometry
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.charts.dumbbell import Bell
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted
from ivx.stats.intervals import ALPHA, adjusted, share_difference, share_interval

TABLE = pa.schema(
    [
        ("component", pa.string()),
        ("layer", pa.int32()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int32()),
        ("wordings", pa.int32()),
        ("truth", pa.string()),
        ("predicted", pa.string()),
        ("x", pa.list_(pa.float32())),
        ("y", pa.list_(pa.float32())),
    ]
)
"""One row per component × layer × measure.

Measures: `accuracy`, `control`, `selectivity`, `centroid`, `nonlinear`, `margin`, `within`, `capacity`; `curve`, by
`wordings` per task; `confusion`, by `truth` and `predicted`, a share of the truth's; and projections, whose value is
the plane's share, and whose points are `x` and `y` in the order of the wordings, null where a wording was learnt from
and is not drawn; the same for `path`, in the one plane of all layers. `path` and the measures of
`ivx.analyses.separability.geometry` are not in runs made before they were measured. `n` is the number of wordings.
Baselines have layer −1 and a name in place of the component.
"""

MEASURES = (
    "accuracy",
    "control",
    "selectivity",
    "centroid",
    "nonlinear",
    "margin",
    "within",
    "capacity",
)
"""Measures of a place that have an interval."""
SHARES = {"accuracy", "control", "centroid", "nonlinear", "within", "capacity"}
PATH = "path"
WORDS, EMBEDDING = "bag of words", "embedding"
BASELINES = (WORDS, EMBEDDING)


@dataclass(frozen=True)
class Read:
    """A wording, as it names a point of a projection."""

    task: str
    text: str
    family: str
    token: str


@dataclass(frozen=True)
class Estimate:
    """A mean over held-out folds with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ProbeCell:
    """One place. Accuracies are shares; `margin` in nats.

    Families are what is counted: intervals of accuracies are Wilson's over them, or those over folds where they are
    wider.

    Attributes:
        control: accuracy on labels that are shuffled by family, which no probe can learn: a guess, as this probe makes
            it. `selectivity` is accuracy minus control, fold by fold.
        over_words: accuracy minus that of a bag of words; None for baselines.
        capacity: accuracy on random labels that can be learnt (Hewitt and Liang 2019): every family has one, and other
            wordings of it are tested. `within` is accuracy on the task's own labels in that split; within minus
            capacity is their selectivity. None where no family has two wordings, and in runs made before this was
            measured.
        p: one-sided, that the selectivity is not above 0, adjusted over all layers and components.
        state: `ok` where p is below .05, else `zero`.

    Baselines have no centroid, no non-linear probe and no margin.
    """

    component: str
    layer: int
    accuracy: Estimate
    control: Estimate
    selectivity: Estimate
    n: int
    state: str
    centroid: Estimate | None = None
    nonlinear: Estimate | None = None
    margin: Estimate | None = None
    within: Estimate | None = None
    capacity: Estimate | None = None
    over_words: Estimate | None = None
    p: float = 1.0


@dataclass(frozen=True)
class PlanePoint:
    """One wording in a plane."""

    x: float
    y: float
    wording: Read
    number: int


@dataclass(frozen=True)
class Projection:
    """The drawn points of one place; those of all layers share one scale and are turned alike.

    `share` is the part of the variance (pca, path), or of the scatter between tasks (lda), that the plane holds; tsne
    and umap have none.
    """

    kind: str
    component: str
    layer: int
    share: float | None
    points: tuple[PlanePoint, ...]


@dataclass(frozen=True)
class CurvePoint:
    """Held-out accuracy after so many wordings of each task."""

    wordings: int
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class Separability(Result[SeparabilityRequest]):
    """A result: what probes found at every place, and everything needed to read it without the model."""

    tasks: tuple[str, ...]
    wordings: tuple[Read, ...]

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return float(self.receipt["chance"])

    def cells(self, component: str) -> list[ProbeCell]:
        """The finished layers of one component, lowest first; for a baseline, its one cell."""
        if component not in (*self.request.components, *BASELINES):
            known = ", ".join((*self.request.components, *BASELINES))
            raise IvxError(f"{component!r} was not probed here: what was is {known}")
        return self._cells[component]

    @cached_property
    def _cells(self) -> dict[str, list[ProbeCell]]:
        """The finished places by component, judged together."""
        found: dict[str, list[ProbeCell]] = {}
        for component in (*BASELINES, *self.request.components):
            told: dict[int, dict[str, Any]] = {}
            for row in self._rows(component, MEASURES):
                told.setdefault(row["layer"], {"n": row["n"]})[row["measure"]] = _estimate(row)
            found[component] = [self._cell(component, layer, one) for layer, one in sorted(told.items())]
        words = found[WORDS][0].accuracy.value if found[WORDS] else None
        places = [cell for component in self.request.components for cell in found[component]]
        p = adjusted(np.array([cell.p for cell in places]))
        for cell, sure in zip(places, p.tolist(), strict=True):
            over = None if words is None else self._difference(cell.accuracy.value, words)
            cells = found[cell.component]
            state = "ok" if sure < ALPHA else "zero"
            cells[cells.index(cell)] = replace(cell, over_words=over, p=sure, state=state)
        return found

    def _cell(self, component: str, layer: int, told: dict[str, Any]) -> ProbeCell:
        for name in SHARES & told.keys():
            low, high = share_interval(told[name].value * self.families, self.families)
            told[name] = Estimate(told[name].value, min(told[name].low, low), max(told[name].high, high))
        gain, apart = told["selectivity"], self._difference(told["accuracy"].value, told["control"].value)
        gain = Estimate(gain.value, max(-1.0, min(gain.low, apart.low)), min(1.0, max(gain.high, apart.high)))
        # The p at whose level the interval would just touch 0.
        reach = (gain.value - gain.low) / stats.norm.ppf(0.975)
        p = float(stats.norm.sf(gain.value / reach)) if reach > 0 else float(gain.value <= 0)
        told["selectivity"] = gain
        return ProbeCell(component, layer, **told, p=p, state="ok" if p < ALPHA else "zero")

    def _difference(self, one: float, other: float) -> Estimate:
        return Estimate(one - other, *share_difference(one, other, self.families))

    @cached_property
    def families(self) -> int:
        """How many paraphrase families the wordings have: as many as there are independent examples."""
        return len({wording.family for wording in self.wordings})

    def baseline(self, name: str) -> ProbeCell:
        """`bag of words`, or `embedding`: what can be read before the first block."""
        return self.cells(name)[0]

    def bells(self, component: str) -> list[Bell]:
        """The finished layers of one component, as a dumbbell draws them."""
        return [
            Bell(cell.layer, cell.accuracy.value, cell.accuracy.low, cell.accuracy.high, cell.control.value)
            for cell in self.cells(component)
        ]

    def baselines(self) -> dict[str, float]:
        """Accuracy of each baseline that is done, by its name."""
        return {name: cell.accuracy.value for name in BASELINES for cell in self.cells(name)}

    @property
    def figure_names(self) -> tuple[str, ...]:
        """One figure per component."""
        return self.request.components

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The dumbbell of every component as it would be printed, a Vega-Lite spec by component; ignores the metric."""
        from ivx.charts.dumbbell import dumbbell_figure

        told = ", ".join(f"{name} {value:.0%}" for name, value in self.baselines().items())
        about = [f"{len(self.tasks)} tasks, n = {len(self.wordings)}; grey: shuffled labels; a guess {self.chance:.0%}"]
        return {
            component: dumbbell_figure(
                self.bells(component),
                layers=self.layers,
                title=f"{component}: probe accuracy at {self.request.position}",
                subtitle=[*about, told],
                baselines=self.baselines(),
            )
            for component in self.request.components
        }

    def confusion(self, layer: int, component: str) -> NDArray[np.float64]:
        """`[tasks, tasks]`: the share of each task's held-out wordings (row) that were predicted as each (column)."""
        found = np.zeros((len(self.tasks), len(self.tasks)))
        for row in self._at(layer, component, "confusion"):
            found[self.tasks.index(row["truth"]), self.tasks.index(row["predicted"])] = row["value"]
        return found

    def curve(self, layer: int, component: str) -> list[CurvePoint]:
        """Accuracy by the number of training wordings of each task; the last point is the whole training part."""
        points = [CurvePoint(row["wordings"], _estimate(row)) for row in self._at(layer, component, "curve")]
        return sorted(points, key=lambda point: point.wordings)

    def geometry(self, component: str) -> list[geometry.Geometry]:
        """How alike states are, by layer; none in runs made before this was measured."""
        return geometry.read(component, self._rows(component, geometry.NAMES))

    def projection(self, layer: int, component: str, kind: str = "pca") -> Projection:
        """The states of one place in a plane: `pca`, `lda`, `tsne` or `umap`, as far as it was asked for, or `path`,
        the plane of all layers."""
        row = self._at(layer, component, kind)[0]
        points = tuple(
            PlanePoint(x, y, self.wordings[k], k)
            for k, (x, y) in enumerate(zip(row["x"], row["y"], strict=True))
            if x is not None
        )
        return Projection(kind, component, layer, row["value"], points)

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); ignores the metric. `p_control`
        is that the accuracy is no better than on shuffled labels."""
        for component in self.request.components:
            for cell in (*self.cells(component), *(one for name in BASELINES for one in self.cells(name))):
                held, place = cell.accuracy, cell.layer >= 0
                yield Plotted(
                    component,
                    f"{component}.{cell.layer}" if place else cell.component,
                    f"L{cell.layer}" if place else cell.component,
                    cell.layer if place else None,
                    *(held.value, held.low, held.high),
                    control=cell.control.value,
                    p_control=cell.p if place else None,
                    state=cell.state if place else "",
                    n=cell.n,
                    what="accuracy",
                    unit="share",
                )

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, and by component and layer: accuracy, control, selectivity and the bag of words' accuracy;
        ignores the metric."""
        words = self.baseline(WORDS)
        layers = [
            {**_flat(cell), "baseline": words.accuracy.value}
            for component in self.request.components
            for cell in self.cells(component)
        ]
        baselines = {name: _flat(self.baseline(name)) for name in BASELINES}
        return {
            **self.receipt,
            "tasks": list(self.tasks),
            "baselines": baselines,
            "layers": layers,
            "geometry": [asdict(one) for component in self.request.components for one in self.geometry(component)],
        }

    def _rows(self, component: str, measures: tuple[str, ...]) -> list[dict[str, Any]]:
        chosen = (pc.field("component") == component) & pc.field("measure").isin(list(measures))
        columns = ["component", "layer", "measure", "value", "low", "high", "n"]
        return self.table.filter(chosen).select(columns).to_pylist()

    def _at(self, layer: int, component: str, measure: str) -> list[dict[str, Any]]:
        here = (pc.field("component") == component) & (pc.field("layer") == layer) & (pc.field("measure") == measure)
        rows = self.table.filter(here).to_pylist()
        if not rows:
            raise IvxError(f"there is no {measure} of {component}, layer {layer}, in this result, or not yet")
        return rows


def _estimate(row: dict[str, Any]) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"])


def _flat(cell: ProbeCell) -> dict[str, Any]:
    """A cell with the value of each measure under its name, and the bounds under `_low` and `_high`."""
    flat: dict[str, Any] = {}
    for name, told in asdict(cell).items():
        if isinstance(told, dict):
            flat |= {name: told["value"], f"{name}_low": told["low"], f"{name}_high": told["high"]}
        elif told is not None:
            flat[name] = told
    return flat
