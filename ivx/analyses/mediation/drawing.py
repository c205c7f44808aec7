"""What is drawn of a mediation: a map of its carriers, and the curve of sets of the strongest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ivx.charts.carriers import Together, carried_curve
from ivx.charts.figure import printed
from ivx.charts.frame import CROWDED, printed_alone
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import LIGHT, Palette
from ivx.engine.address import STREAM as STREAM
from ivx.formats.plotted import Plotted, judged
from ivx.stats.metrics import find

if TYPE_CHECKING:
    from ivx.analyses.mediation.carriers import Carriers
    from ivx.analyses.mediation.request import MediationRequest
    from ivx.stats.ratios import Ratio
    from ivx.stats.verdict import Verdict

WIDE = {"heads": 44, "edges": 44, "components": 90, "positions": 80}
"""Pixels of a printed map's column."""
SAID = {
    "heads": "passes through each later head",
    "components": "passes through each later attention and MLP",
    "positions": "passes through each later token",
    "edges": "goes straight to each later head",
}
"""What of the effect a map shows."""


class Carried(Protocol):
    """What passes through a carrier or a set."""

    @property
    def label(self) -> str: ...
    @property
    def mediated(self) -> Verdict: ...
    @property
    def share(self) -> Ratio | None: ...


class Mediated(Protocol):
    """A result that is drawn."""

    @property
    def request(self) -> MediationRequest: ...
    @property
    def carriers(self) -> Carriers: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    def cells(self, metric: str) -> Sequence[Any]: ...
    def together(self, metric: str) -> Sequence[Any]: ...
    def total(self, metric: str) -> Verdict | None: ...


def tiles(found: Mediated, metric: str) -> list[Tile]:
    """The map's cells."""
    return [
        Tile(one.row, one.column, one.mediated.value, one.mediated.state, f"{one.label}: {said(one)}")
        for one in found.cells(metric)
    ]


def said(one: Carried) -> str:
    """What passes, with its interval and share."""
    v = one.mediated
    share = "" if one.share is None else f", {one.share.value:.0%} of the effect"
    return f"{signed(v.value, 2)} [{signed(v.low, 2)}, {signed(v.high, 2)}]{share}"


def carriers_map(
    found: Mediated, metric: str, p: Palette, *, row: int, selected: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The map: layers up, heads or components across; tokens in one row."""
    shown = tiles(found, metric)
    scale = scale_of([tile.value for tile in shown if tile.state != "zero"])
    rows = found.carriers.rows
    return heatmap(
        shown,
        found.carriers.columns,
        layers=len(rows),
        scale=scale,
        palette=p,
        row=row,
        names=() if len(rows) > 1 else rows,
        mono=found.request.through == "positions",
        selected=selected,
        alt_text=f"What of the effect {SAID[found.request.through]}",
    )


def curve(found: Mediated, metric: str, p: Palette, *, height: int = 220) -> dict[str, Any] | None:
    """Sets of the strongest carriers beside random ones; None where there are none yet."""
    sets, total = found.together(metric), found.total(metric)
    if not sets or total is None:
        return None
    points = []
    for one in sets:
        v, beside = one.mediated, one.mediated.against["set"]
        points.append(Together(one.size, v.value, v.low, v.high, beside.mean, beside.low, beside.high))
    return carried_curve(
        points,
        whole=total.value,
        unit=find(metric).unit,
        what=found.request.through,
        palette=p,
        height=height,
        alt_text=f"What passes through the strongest {found.request.through} together, beside random sets",
    )


def figures(found: Mediated, metric: str) -> dict[str, dict[str, Any]]:
    """Both as they would be printed."""
    view, rows = find(metric), len(found.carriers.rows)
    row = 42 if rows <= CROWDED else 14
    spec = carriers_map(found, metric, LIGHT, row=row)
    width = WIDE[found.request.through] * len(found.carriers.columns)
    title = f"What {SAID[found.request.through]}: {view.label}"
    drawn = {"carriers": printed(spec, title=title, unit=view.unit, width=max(240, width))}
    if found.sizes:
        line = curve(found, metric, LIGHT)
        told = "blue: the strongest together, on samples that did not rank them; grey: random sets; line: the effect"
        if line is not None:
            drawn["sets"] = printed_alone(line, f"Set back together: {view.label}", width=360, subtitle=told)
    return drawn


def drawn(found: Mediated, metric: str) -> Iterator[Plotted]:
    """What the figures show, a number at a time; each control is the others of the same kind and number."""
    for figure, some in (("carriers", found.cells(metric)), ("sets", found.together(metric))):
        for one in some:
            beside = one.mediated.against.get("set")
            bar = one.mediated if beside is None else one.mediated._replace(control=beside.mean, p_control=beside.p)
            layer = one.row if figure == "carriers" and len(found.carriers.rows) > 1 else None
            yield judged(bar, figure, one.patch, label=one.label, layer=layer, n=one.n, metric=metric)
