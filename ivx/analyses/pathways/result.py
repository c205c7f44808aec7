"""The result of a pathways request: rows of parts, and what was found in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.pathways import overlap as overlaps
from ivx.analyses.pathways.activity import KS, Activity, activity, scores_of
from ivx.analyses.pathways.areas import plotted_areas
from ivx.analyses.pathways.drawing import drawings, name_of
from ivx.analyses.pathways.faithfulness import Curve
from ivx.analyses.pathways.findings import Findings, plain
from ivx.analyses.pathways.overlap import Overlap
from ivx.analyses.pathways.parts import Part, is_nothing
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.slots import Slot, coarse
from ivx.analyses.pathways.starts import KINDS, Start, starts_of
from ivx.charts.areas import Ranked, areas_chart
from ivx.charts.figure import beside
from ivx.charts.flow import flow
from ivx.charts.frame import printed_alone
from ivx.charts.overlap import Level, Size, faithfulness_chart, overlap_chart
from ivx.charts.palette import LIGHT
from ivx.engine.linear.records import Path, by_heads
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted
from ivx.stats.intervals import Array, mean_interval
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

LISTED = 10
"""Most heads, edges and paths in a summary."""
PRINTED = 20
"""Edges in a printed flow."""
DRAWN = 400
"""Edges that are kept at hand for drawings."""


@dataclass(frozen=True, kw_only=True)
class Pathways(Result[PathwaysRequest]):
    """A result: `table` has a row for each part (`ivx.analyses.pathways.parts`); `there` holds the contrast
    instruction's samples of the same queries."""

    samples: Samples
    there: tuple[Sample, ...]
    heads: int
    found: Findings

    def total(self, run: str = "here") -> float:
        """Mean over samples of what is split: the logit difference, or the logit."""
        return float(self._means(run, "total")["value"][0].as_py())

    def share(self, value: float, run: str = "here") -> float | None:
        """A value as a share of what is split; None where that is next to nothing."""
        row = self._means(run, "total").to_pylist()[0]
        return None if is_nothing(row["value"], row["low"], row["high"]) else value / row["value"]

    def parts(self, kind: str, *, run: str = "here", layer: int | None = None) -> list[Part]:
        """Means of one kind: `node`, `stay`, `mlp`, `head`, `edge`, `bias`, `carried` or `patch`; strongest first.

        Args:
            run: `here`, `there`, `bare` or `patched`.
            layer: of this block only; −1 is the embeddings.
        """
        table = self._means(run, kind)
        if layer is not None:
            table = table.filter(pc.field("layer") == layer)
        order = np.argsort(-np.abs(table["value"].to_numpy()), kind="stable")
        return self._parts_of(table.take(order), run, kind)

    def strongest(self, n: int, *, run: str = "here") -> list[Part]:
        """The n strongest edges between tokens: those that a drawing shows."""
        if run not in self._strongest or len(self._strongest[run]) < n:
            table = self._means(run, "edge")
            between = pc.not_equal(table["from"], table["to"]).to_numpy()
            size = np.where(between, np.abs(table["value"].to_numpy()), -1.0)
            most = min(max(n, DRAWN), int(between.sum()))
            top = np.argpartition(-size, most - 1)[:most] if most else np.zeros(0, int)
            self._strongest[run] = self._parts_of(table.take(top[np.lexsort((top, -size[top]))]), run, "edge")
        return self._strongest[run][:n]

    def row(self, layer: int, head: int, end: str, *, run: str = "here") -> list[Part]:
        """All edges of one head into one slot, in the order of slots: its attention row, and what each contributes."""
        key = (run, layer, head, end)
        if key not in self._rows:
            table = self._means(run, "edge")
            into = (pc.field("layer") == layer) & (pc.field("head") == head) & (pc.field("to") == end)
            order = {slot.key: i for i, slot in enumerate(self.found.slots[run])}
            told = self._parts_of(table.filter(into), run, "edge")
            self._rows[key] = sorted(told, key=lambda part: order[str(part.start)])
        return self._rows[key]

    def _parts_of(self, table: pa.Table, run: str, kind: str) -> list[Part]:
        names = ("layer", "head", "from", "to", "value", "low", "high", "attention")
        columns = [table[name].to_pylist() for name in names]
        unit = self.share(1.0, run)
        shares = [None if unit is None else value * unit for value in columns[4]]
        return [Part(run, kind, *row) for row in zip(*columns, shares, strict=True)]

    def nodes(self, run: str = "here") -> list[Part]:
        """Every token slot after every block, strongest first."""
        return self.parts("node", run=run)

    def edges(self, layer: int | None = None, *, run: str = "here") -> list[Part]:
        """Every edge (head, slot read from, slot written to), strongest first."""
        return self.parts("edge", run=run, layer=layer)

    def by_head(self, run: str = "here") -> dict[tuple[int, int], float]:
        """The contribution of each head over all tokens, strongest first."""
        table = self._means(run, "head")
        at = table["layer"].to_numpy() * self.heads + table["head"].to_numpy()
        sums = np.bincount(at, weights=table["value"].to_numpy(), minlength=self.layers * self.heads)
        order = np.argsort(-np.abs(sums), kind="stable")
        return {divmod(int(i), self.heads): float(sums[i]) for i in order}

    def head(self, layer: int, head: int, *, run: str = "here") -> Part:
        """One head over all tokens, with its interval over samples."""
        key = (run, layer, head)
        if key not in self._heads:
            each = self._means(run, "head", each=True)
            values = each.filter((pc.field("layer") == layer) & (pc.field("head") == head))["value"].to_numpy()
            answers = [s.answer_id for s in (self.there if run == "there" else self.samples.rows)]
            groups = np.unique(np.array(answers, dtype=np.int64), return_inverse=True)[1]
            bounds = mean_interval(values[None], seed=self.request.seed, groups=groups)
            low, high = (float(end[0]) for end in bounds)
            value = float(values.mean())
            self._heads[key] = Part(
                run, "head", layer, head, None, None, value, low, high, None, self.share(value, run)
            )
        return self._heads[key]

    def paths(self, k: int = LISTED) -> list[tuple[int, Path]]:
        """The k strongest paths of the traced samples, each with its sample's number."""
        every = [(traced.item, path) for traced in self.found.traced for path in traced.paths]
        return sorted(every, key=lambda pair: -abs(pair[1].value))[:k]

    def routes(self) -> dict[tuple[tuple[int, int], ...], float]:
        """Paths by the heads they go through, mean over traced samples, strongest first."""
        every = [path for traced in self.found.traced for path in traced.paths]
        return {heads: value / len(self.found.traced) for heads, value in by_heads(every).items()}

    def starts(self, kind: str = "strongest") -> tuple[Start, ...]:
        """Where paths of high rank begin, by slot: the `strongest` of the exact ones, or the `published` ones that rank
        the answer high; none where no sample's were searched."""
        told = {"layers": self.layers, "heads": self.heads, "seed": self.request.seed}
        return starts_of(self.found, self.samples.rows, kind=kind, **told)

    def activity(self, k: int) -> Activity:
        """Which heads are among the `k` strongest of their layer, for the instruction and for the other one."""
        shape = (len(self.samples.rows), self.layers, self.heads)
        here, there = (scores_of(self.table, run, shape) for run in ("here", "there"))
        return activity(here, there, k=k, seed=self.request.seed)

    def overlap(self, other: str = "there") -> Overlap:
        """The comparison of the instructed runs with `there`, `bare` or `patched` ones."""
        for found in self.found.overlaps:
            if found.other == other:
                return found
        told = ", ".join(found.other for found in self.found.overlaps)
        raise IvxError(f"these pathways were not compared with {other!r} runs: use one of {told}, or set patch_layer")

    def beside(self, other: Pathways) -> Overlap:
        """The comparison with another checkpoint's pathways of the same samples.

        Raises:
            IvxError: the two differ in layers, heads or samples.
        """
        mine, theirs = ([s.query for s in found.samples.rows] for found in (self, other))
        if (self.layers, self.heads) != (other.layers, other.heads) or mine != theirs:
            raise IvxError("pathways are compared on one shape of model and on the same samples: ask both for the same")
        pairs = sorted(self._coarse_pairs() | other._coarse_pairs())
        names = (str(self.receipt["checkpoint"]["name"]), str(other.receipt["checkpoint"]["name"]))
        return overlaps.compared(
            self._halves(pairs),
            other._halves(pairs),
            names=names,
            samples=len(mine),
        )

    def faithfulness(self) -> tuple[Curve, ...]:
        """The curves of the causal check; none where it was left out, or the model does nothing here."""
        return self.found.curves

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Both flows, the overlap, and the causal check's curves."""
        curves = (f"faithfulness-{curve.unit}" for curve in self.faithfulness())
        return ("here", "there", "overlap", *curves, *(("areas",) if self.found.areas else ()))

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """Flows, overlap and faithfulness for print, a Vega-Lite spec by name; ignores the metric."""
        printed = {}
        for drawing in drawings(self, PRINTED):
            told = self.request.task if drawing.run == "here" else str(self.receipt["contrast"])
            spec = flow(
                drawing.ribbons, drawing.stays, drawing.labels, layers=self.layers, marked=drawing.marked, palette=LIGHT
            )
            text = f"{told}: the {PRINTED} strongest edges; grey in both, orange raises and blue lowers the answer"
            printed[drawing.run] = printed_alone(spec, text, width=max(360, min(900, 34 * len(drawing.labels))))
        levels = [Level(x.layer, x.jaccard, x.low, x.high, x.reference, x.p, x.apart) for x in self.overlap().layers]
        spec = overlap_chart(levels, layers=self.layers, palette=LIGHT)
        printed["overlap"] = printed_alone(spec, "Overlap; dashed: one with itself", width=240)
        for curve in self.faithfulness():
            sizes = [Size(x.n, x.kept, x.low, x.high, x.random, x.random_low, x.random_high) for x in curve.points]
            spec = faithfulness_chart(sizes, unit=curve.unit, palette=LIGHT)
            printed[f"faithfulness-{curve.unit}"] = printed_alone(spec, "Faithfulness; grey: random sets", width=360)
        if self.found.areas:
            spec = areas_chart([Ranked(x.ranking, x.sizes, x.kept) for x in self.found.areas], palette=LIGHT)
            printed["areas"] = printed_alone(spec, "Faithfulness by ranking of heads", width=360)
        return printed

    def chart(self, metric: str = "contrast") -> alt.HConcatChart:
        """Both flows and the overlap, side by side; ignores the metric."""
        drawn = self.figures()
        return beside([drawn[name] for name in ("here", "there", "overlap")])

    def slots(self, run: str) -> tuple[Slot, ...]:
        """The slots of one kind of run, in the order of their tokens."""
        return self.found.slots[run]

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); ignores the metric."""
        n, unit = len(self.samples.rows), "logits"
        for drawing in drawings(self, PRINTED):
            for part in drawing.edges:
                label = f"L{part.layer} head {part.head}, {part.start} to {part.end}"
                own = (part.value, part.low, part.high)
                yield Plotted(drawing.run, name_of(part), label, part.layer, *own, n=n, what="contribution", unit=unit)
        found = self.overlap()
        for x in found.layers:
            yield Plotted(
                "overlap", f"layer {x.layer}", f"L{x.layer}", x.layer, x.jaccard, x.low, x.high, x.p,
                control=x.reference, state="ok" if x.apart else "zero", n=found.samples, what="overlap", unit="share",
            )  # fmt: skip
        for curve in self.faithfulness():
            for at in curve.points:
                label, own = f"the {at.n} strongest {curve.unit}", (at.kept, at.low, at.high)
                yield Plotted(
                    f"faithfulness-{curve.unit}", str(at.n), label, None, *own,
                    control=at.random, n=curve.samples, what="faithfulness", unit="share",
                )  # fmt: skip

        yield from plotted_areas(self.found.areas)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The result in short, ready for JSON; ignores the metric."""
        return {
            **self.receipt,
            "total": {run: self.total(run) for run in self.found.slots},
            "fidelity": plain(self.found.fidelity),
            "explained": {run: [asdict(one) for one in found] for run, found in self.found.explained.items()},
            "heads": [
                {"layer": layer, "head": head, "value": value, "share": self.share(value)}
                for (layer, head), value in list(self.by_head().items())[:LISTED]
            ],
            "edges": [asdict(part) for part in self.edges()[:LISTED]],
            "paths": [{"sample": item, **path._asdict()} for item, path in self.paths()],
            "starts": {kind: [asdict(start) for start in self.starts(kind)] for kind in KINDS},
            "activity": [asdict(self.activity(k)) for k in KS] if self.found.overlaps else [],
            "overlap": [asdict(found) for found in self.found.overlaps],
            "faithfulness": [asdict(curve) for curve in self.found.curves],
            "areas": [asdict(area) for area in self.found.areas],
        }

    def _means(self, run: str, kind: str, *, each: bool = False) -> pa.Table:
        """Rows of one kind: means, or those of `each` sample."""
        if run not in self.found.slots:
            raise IvxError(f"there are no {run!r} runs here: use one of {', '.join(self.found.slots)}")
        if (run, kind, each) not in self._known:
            item = pc.field("item").is_valid() if each else pc.field("item").is_null()
            wanted = (pc.field("run") == run) & (pc.field("kind") == kind) & item
            self._known[run, kind, each] = self.table.filter(wanted)
        return self._known[run, kind, each]

    @cached_property
    def _known(self) -> dict[tuple[str, str, bool], pa.Table]:
        """Cache of rows."""
        return {}

    @cached_property
    def _rows(self) -> dict[tuple[str, int, int, str], list[Part]]:
        """Cache of attention rows."""
        return {}

    @cached_property
    def _heads(self) -> dict[tuple[str, int, int], Part]:
        """Cache of heads, whose intervals take a moment."""
        return {}

    @cached_property
    def _strongest(self) -> dict[str, list[Part]]:
        """Cache of the strongest edges by run."""
        return {}

    def _coarse_pairs(self) -> set[tuple[str, str]]:
        edges = self._means("here", "edge")
        return {
            (coarse(a), coarse(b)) for a, b in set(zip(*(edges[n].to_pylist() for n in ("from", "to")), strict=True))
        }

    def _halves(self, pairs: list[tuple[str, str]]) -> tuple[Array, Array]:
        place = {pair: i for i, pair in enumerate(pairs)}
        edges = self._means("here", "edge")
        found = np.zeros((2, self.layers, self.heads, len(pairs)))
        at = [
            place[coarse(a), coarse(b)]
            for a, b in zip(*(edges[name].to_pylist() for name in ("from", "to")), strict=True)
        ]
        for k, name in enumerate(("first_half", "second_half")):
            np.add.at(found[k], (edges["layer"].to_numpy(), edges["head"].to_numpy(), at), edges[name].to_numpy())
        first, second = found.reshape(2, self.layers, -1)
        return first, second
