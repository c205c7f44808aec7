"""The atlas: of every checkpoint and task the cell that moves the answer most, where it is, and whether the model
follows there.

Nothing here runs a model. The best of many cells looks better than it is: the verdict is adjusted over the whole map,
the mean is not shrunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from ivx.analyses.compare.text import short
from ivx.analyses.effects.result import Effects
from ivx.charts.atlas import Spot, atlas_chart, printed_atlas
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import LIGHT
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.formats.tex import escaped
from ivx.stats.metrics import find

TOP = 10
"""Cells that are kept of each pair."""
Pair = tuple[str, str]
"""A task and a checkpoint."""
TABLE = pa.schema(
    [
        ("task", pa.string()),
        ("checkpoint", pa.string()),
        ("rank", pa.int32()),
        ("metric", pa.string()),
        ("patch", pa.string()),
        ("label", pa.string()),
        ("layer", pa.int32()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("control", pa.float64()),
        ("state", pa.string()),
        ("followed_bare", pa.float64()),
        ("followed", pa.float64()),
        ("followed_told", pa.float64()),
        ("n", pa.int32()),
        ("run", pa.string()),
    ]
)
"""One row per kept cell; rank 1 is the best one."""


class Spotted(NamedTuple):
    """One cell of a pair's map: mean effect with its 95 % interval, adjusted p, strongest named control, verdict, and
    the shares followed by the bare run, the patched one and the told one."""

    patch: str
    label: str
    layer: int
    value: float
    low: float
    high: float
    p: float | None
    control: float | None
    state: str
    followed_bare: float | None
    followed: float | None
    followed_told: float | None
    n: int
    run: str


def spotted(found: Effects, metric: str) -> list[Spotted]:
    """The strongest cells of the stream's map, findings first."""
    cells = [cell for cell in found.cells(STREAM, metric) if cell.state != "estimate"]
    best = sorted(cells, key=lambda cell: (cell.state != "ok", -abs(cell.value) if cell.state != "undefined" else 0.0))
    bare, told = found.level("followed"), found.level("followed", role="told")
    return [
        Spotted(
            cell.patch,
            found.maps[STREAM][cell.column].label,
            cell.layer,
            cell.value,
            cell.low,
            cell.high,
            cell.p,
            cell.control,
            cell.state,
            bare,
            found.level("followed", site=STREAM, patch=cell.patch),
            told,
            cell.n,
            found.run_id,
        )
        for cell in best[:TOP]
    ]


@dataclass(frozen=True)
class Atlas:
    """Checkpoints × tasks.

    Attributes:
        metric: what cells are ranked and read by.
        tops: the strongest cells of each pair, the best first; a pair that was not measured is not in it.
        refused: why a pair cannot be measured.
        asked: what every pair was asked, ready for JSON.
    """

    names: tuple[str, ...]
    tasks: tuple[str, ...]
    metric: str
    tops: Mapping[Pair, Sequence[Spotted]]
    refused: Mapping[Pair, str]
    asked: Mapping[str, Any]

    @property
    def pairs(self) -> list[Pair]:
        """All pairs, task by task."""
        return [(task, name) for task in self.tasks for name in self.names]

    @property
    def missing(self) -> list[Pair]:
        """The pairs that were neither measured nor refused."""
        return [pair for pair in self.pairs if pair not in self.tops and pair not in self.refused]

    def best(self, task: str, name: str) -> Spotted | None:
        """The best cell of a pair; None where there is none."""
        return next(iter(self.tops.get((task, name), ())), None)

    @property
    def receipt(self) -> dict[str, Any]:
        """What was asked, the run of every pair, and what is not there."""
        runs = [
            {"task": task, "checkpoint": name, "run": best.run}
            for task, name in self.pairs
            if (best := self.best(task, name)) is not None
        ]
        request = {"checkpoints": list(self.names), "tasks": list(self.tasks), **self.asked}
        refused = [{"task": t, "checkpoint": c, "why": why} for (t, c), why in self.refused.items()]
        return {"kind": "atlas", "request": request, "metric": self.metric, "runs": runs, "refused": refused}

    @property
    def table(self) -> pa.Table:
        """The kept cells of every pair (`TABLE`)."""
        return pa.Table.from_pylist(list(self._rows()), schema=TABLE)

    def summary(self) -> dict[str, Any]:
        """The receipt, and the best cell of every pair, ready for JSON."""
        best = [row for row in self._rows() if row["rank"] == 1]
        missing = [{"task": task, "checkpoint": name} for task, name in self.missing]
        return {**self.receipt, "best": best, "missing": missing}

    def _rows(self) -> Iterator[dict[str, Any]]:
        for task, name in self.pairs:
            for rank, cell in enumerate(self.tops.get((task, name), ()), 1):
                about = {"task": task, "checkpoint": name, "rank": rank, "metric": self.metric}
                yield {**about, **cell._asdict()}

    def strongest(self, count: int = TOP) -> list[tuple[str, str, Spotted]]:
        """The strongest cells of all pairs: task, checkpoint, cell."""
        every = [(task, name, cell) for task, name in self.pairs for cell in self.tops.get((task, name), ())]
        return sorted(every, key=lambda one: (one[2].state != "ok", -abs(one[2].value)))[:count]

    def scale(self) -> float:
        """What the colours run over."""
        best = [cell for pair in self.pairs if (cell := self.best(*pair)) is not None]
        return scale_of([cell.value for cell in best if cell.state in ("ok", "control")])

    def spots(self) -> list[Spot]:
        """Every pair, as it is drawn."""
        return [
            self._spot(row, column, task, name)
            for row, task in enumerate(self.tasks)
            for column, name in enumerate(self.names)
        ]

    def _spot(self, row: int, column: int, task: str, name: str) -> Spot:
        cell = self.best(task, name)
        if cell is None:
            why = self.refused.get((task, name), "not measured")
            return Spot(row, column, 0.0, "missing", "", (0.0, 0.0, 0.0), f"{task}, {name}: {why}")
        shares = tuple(share or 0.0 for share in (cell.followed_bare, cell.followed, cell.followed_told))
        told = (
            f"{task}, {name}: {signed(cell.value, 2)} [{signed(cell.low, 2)}, {signed(cell.high, 2)}] at layer "
            f"{cell.layer}, {cell.label}; followed {shares[0]:.0%} bare, {shares[1]:.0%} patched, {shares[2]:.0%} told"
        )
        return Spot(row, column, cell.value, cell.state, f"L{cell.layer} “{cell.label}”", shares, told)  # type: ignore[arg-type]

    def figure(self) -> dict[str, Any]:
        """The atlas as it would be printed: a Vega-Lite spec."""
        view, names = find(self.metric), tuple(map(short, self.names))
        spec = atlas_chart(self.spots(), tasks=self.tasks, names=names, scale=self.scale(), palette=LIGHT)
        return printed_atlas(spec, title=f"Atlas: {view.label}", unit=view.unit, columns=len(names))

    def latex(self) -> str:
        r"""The best cells as a table for a paper, which needs `\usepackage{booktabs}`.

        Raises:
            IvxError: nothing was measured.
        """
        if not self.tops:
            raise IvxError("the atlas has no measured pair, so there is no table: compute some first")
        unit = find(self.metric).unit
        lines = [
            r"\begin{tabular}{llrlrr}",
            r"\toprule",
            rf"Task & Model & Effect ({escaped(unit)}) & Place & Followed & Told \\",
            r"\midrule",
        ]
        for task in self.tasks:
            for name in self.names:
                cell = self.best(task, name)
                if cell is None:
                    continue
                mark = {"ok": "", "control": r"$^\circ$", "zero": r"$^{-}$"}.get(cell.state, r"$^{?}$")
                value = f"${cell.value:+.2f}$ [${cell.low:+.2f}$, ${cell.high:+.2f}$]{mark}"
                place = f"L{cell.layer}, {escaped(cell.label)}"
                shares = [("--" if s is None else rf"{100 * s:.0f}\,\%") for s in (cell.followed, cell.followed_told)]
                lines.append(rf"{escaped(task)} & {escaped(short(name))} & {value} & {place} & {' & '.join(shares)} \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        return "\n".join(
            [
                *lines,
                "% circle: no better than its control; minus: not different from 0; 95 % intervals of the mean",
                "",
            ]
        )


def text_of(summary: dict[str, Any]) -> str:
    """The best cell of every pair, a line each."""
    lines = [f"atlas by {summary['metric']}; the best cell of each map, adjusted over that map"]
    wide = max((len(row["task"]) for row in summary["best"]), default=4)
    for row in summary["best"]:
        said = {"ok": "", "control": "no better than its control", "zero": "not different from 0"}
        shares = " → ".join("–" if row[k] is None else f"{row[k]:.0%}" for k in ("followed_bare", "followed"))
        told = "–" if row["followed_told"] is None else f"{row['followed_told']:.0%}"
        lines.append(
            f"{row['task']:{wide}}  {short(row['checkpoint']):24}{row['value']:+8.2f} [{row['low']:+.2f}, "
            f"{row['high']:+.2f}]  L{row['layer']} {row['label']:14} followed {shares}, told {told}  "
            f"{said.get(row['state'], row['state'])}".rstrip()
        )
    lines += [f"not measured: {row['task']}, {row['checkpoint']}" for row in summary["missing"]]
    lines += [f"refused: {row['task']}, {row['checkpoint']}: {row['why']}" for row in summary["refused"]]
    return "\n".join(lines)
