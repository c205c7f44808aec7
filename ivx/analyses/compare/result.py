"""A comparison of checkpoints in their order, from the results of its parts. Nothing here runs a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.compare.differences import Accuracies, accuracies_of, effect_differences, interaction_differences
from ivx.analyses.compare.request import Compared
from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.separability.result import WORDS, Separability
from ivx.analyses.transplant.result import Transplant
from ivx.analyses.vectors.result import Alike, Vectors
from ivx.charts.numbers import scale_of
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.formats.plotted import judged
from ivx.formats.plotted import table as plotted_table
from ivx.models.registry import steps
from ivx.patching import gate
from ivx.patching.cells import Cell
from ivx.stats.metrics import find

if TYPE_CHECKING:
    import altair as alt

TABLE = pa.schema(
    [
        ("what", pa.string()),
        ("checkpoint", pa.string()),
        ("before", pa.string()),
        ("metric", pa.string()),
        ("layer", pa.int32()),
        ("place", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("control", pa.float64()),
        ("p_control", pa.float64()),
        ("state", pa.string()),
        ("n", pa.int32()),
    ]
)
"""One row per number of a comparison. `what` is effect, difference, separability, interaction, interaction difference,
cosine, own cosine, norm or transplant; `before` is the earlier checkpoint, or the donor; `place` is a patch address, or
the component probed."""


@dataclass(frozen=True)
class Member:
    """One checkpoint and the results of its parts; None where a part was not asked for."""

    name: str
    effects: Effects | None = None
    separability: Separability | None = None
    interactions: Interactions | None = None
    vectors: Vectors | None = None

    @property
    def accuracies(self) -> Accuracies | None:
        """How it answers instructed prompts, from its effects."""
        return None if self.effects is None else accuracies_of(self.effects, self.vectors)


@dataclass(frozen=True)
class Comparison:
    """Checkpoints in their order, and what they were asked; `transplants` by (donor, receiver)."""

    asked: Compared
    members: tuple[Member, ...]
    transplants: Mapping[tuple[str, str], Transplant] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The checkpoints, in their order."""
        return tuple(member.name for member in self.members)

    @property
    def steps(self) -> tuple[tuple[Member, Member], ...]:
        """The pairs whose difference is taken: (earlier, later)."""
        by_name = {member.name: member for member in self.members}
        return tuple((by_name[before], by_name[after]) for before, after in steps(self.names))

    def effects(self, metric: str = "contrast") -> dict[str, list[Cell]]:
        """The effect map of each checkpoint."""
        return {member.name: member.effects.cells(STREAM, metric) for member in self.members if member.effects}

    def differences(self, metric: str = "contrast") -> dict[tuple[str, str], list[Cell]]:
        """The difference map of each step; raises `IvxError` where maps differ in layers or columns."""
        return {
            (a.name, b.name): effect_differences(a.effects, b.effects, site=STREAM, metric=metric)
            for a, b in self.steps
            if a.effects and b.effects
        }

    def cosines(self) -> dict[tuple[str, str], list[Alike]]:
        """How alike the vectors of each step are; raises `IvxError` for checkpoints of different shapes."""
        return {(a.name, b.name): b.vectors.alike(a.vectors) for a, b in self.steps if a.vectors and b.vectors}

    @property
    def receipt(self) -> dict[str, Any]:
        """What was asked, and the run of every part."""
        runs = {
            member.name: {
                name: part.run_id
                for name in ("effects", "separability", "interactions", "vectors")
                if (part := getattr(member, name)) is not None
            }
            for member in self.members
        }
        return {
            "kind": "compare",
            "request": {**asdict(self.asked), "checkpoints": list(self.names)},
            "runs": runs,
            "transplants": [
                {"donor": donor, "receiver": receiver, "run": found.run_id}
                for (donor, receiver), found in self.transplants.items()
            ],
            "gates": [said for m in self.members if m.effects and (said := gate.sentence(m.effects.receipt))],
            "warnings": sorted({w for m in self.members if m.effects for w in m.effects.receipt["warnings"]}),
        }

    @property
    def table(self) -> pa.Table:
        """Every number of the comparison in the contrast metric."""
        return self.tidy()

    def tidy(self, metric: str = "contrast") -> pa.Table:
        """Every number of the comparison, one a row (`TABLE`)."""
        return pa.Table.from_pylist(list(self._rows(metric)), schema=TABLE)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The comparison in short, ready for JSON; `refused` says why a part cannot be compared."""
        refused: list[str] = []

        def tried(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
            try:
                return list(rows)
            except IvxError as error:
                refused.append(str(error))
                return []

        found = {
            "accuracies": [
                {"checkpoint": m.name, **asdict(m.accuracies)} for m in self.members if m.accuracies is not None
            ],
            "effects": tried(self._effect_rows(metric)),
            "differences": tried(self._difference_rows(metric)),
            "separability": tried(self._separability_rows()),
            "interactions": tried(self._interaction_rows(metric)),
            "interaction_differences": tried(self._interaction_difference_rows(metric)),
            "cosines": tried(self._cosine_rows()),
            "transplant": tried(self._transplant_rows(metric)),
        }
        return {**self.receipt, "metric": metric, **found, "refused": refused}

    def chart(self, metric: str = "contrast") -> alt.HConcatChart:
        """The effect maps and their differences side by side, all on one scale."""
        from ivx.charts.figure import beside

        return beside(self.figures(metric))

    def figures(self, metric: str = "contrast") -> list[dict[str, Any]]:
        """The effect map of each checkpoint, then those of the differences, on one scale: Vega-Lite specs for print."""
        from ivx.charts.figure import figure

        view = find(metric)
        of = {member.name: member.effects for member in self.members if member.effects}
        maps = {name: (of[name], cells) for name, cells in self.effects(metric).items()}
        maps |= {f"{b} − {a}": (of[b], cells) for (a, b), cells in self.differences(metric).items()}
        scale = scale_of([c.value for _, cells in maps.values() for c in cells if c.state != "zero"])
        return [
            figure(
                cells,
                [column.label for column in found.maps[STREAM]],
                layers=found.layers,
                site=STREAM,
                what=view.label,
                unit=view.unit,
                scale=scale,
                name=title,
            )
            for title, (found, cells) in maps.items()
        ]

    def figure(self, metric: str = "contrast") -> dict[str, Any]:
        """The same chart as a Vega-Lite spec."""
        found: dict[str, Any] = self.chart(metric).to_dict()
        return found

    def plotted(self, metric: str = "contrast") -> pa.Table:
        """The cells of these figures as a table (`ivx.formats.plotted.ROWS`)."""
        of = {member.name: member.effects for member in self.members if member.effects}
        shown = [found.plotted(metric) for found in of.values()]
        tables = [one.filter(pc.equal(one["figure"], STREAM)) for one in shown]
        for (before, after), cells in self.differences(metric).items():
            columns = of[after].maps[STREAM]
            rows = [
                judged(
                    cell,
                    f"{after} − {before}",
                    cell.patch,
                    label=f"L{cell.layer} {columns[cell.column].label}",
                    layer=cell.layer,
                    n=cell.n,
                    metric=metric,
                )
                for cell in cells
            ]
            runs = f"{of[after].run_id} {of[before].run_id}"
            tables.append(plotted_table(rows, checkpoint=after, task=self.asked.task, run=runs))
        return pa.concat_tables(tables)

    def _rows(self, metric: str) -> Iterator[dict[str, Any]]:
        accuracies_of = self.summary(metric)
        for what, name in (
            ("effect", "effects"),
            ("difference", "differences"),
            ("separability", "separability"),
            ("interaction", "interactions"),
            ("interaction difference", "interaction_differences"),
            ("transplant", "transplant"),
        ):
            for row in accuracies_of[name]:
                place = row.get("patch") or row.get("component")
                kept = {key: row.get(key) for key in TABLE.names if key in row}
                unit = None if what == "separability" else metric
                yield {
                    **kept,
                    "what": what,
                    "metric": unit,
                    "place": place,
                    "before": row.get("before") or row.get("donor"),
                }
        for row in accuracies_of["cosines"]:
            shared = {key: row[key] for key in ("checkpoint", "before", "layer", "n")}
            whole = {"value": row["whole"], "low": row["low"], "high": row["high"], "control": row["control"]}
            yield {**shared, "what": "cosine", **whole}
            yield {**shared, "what": "own cosine", "value": row["own"], "low": row["own_low"], "high": row["own_high"]}

    def _effect_rows(self, metric: str) -> Iterator[dict[str, Any]]:
        columns = {member.name: member.effects.maps[STREAM] for member in self.members if member.effects}
        for name, cells in self.effects(metric).items():
            for cell in cells:
                yield {"checkpoint": name, **asdict(cell), "label": columns[name][cell.column].label}

    def _difference_rows(self, metric: str) -> Iterator[dict[str, Any]]:
        columns = {member.name: member.effects.maps[STREAM] for member in self.members if member.effects}
        for (before, after), cells in self.differences(metric).items():
            for cell in cells:
                label = columns[after][cell.column].label
                yield {"checkpoint": after, "before": before, **asdict(cell), "label": label}

    def _separability_rows(self) -> Iterator[dict[str, Any]]:
        for member in self.members:
            if member.separability is not None:
                words = member.separability.baseline(WORDS).accuracy.value
                for cell in member.separability.cells(STREAM):
                    yield {
                        "checkpoint": member.name,
                        "component": STREAM,
                        "layer": cell.layer,
                        **asdict(cell.selectivity),
                        "accuracy": cell.accuracy.value,
                        "control": cell.control.value,
                        "baseline": words,
                        "state": cell.state,
                        "n": cell.n,
                    }

    def _interaction_rows(self, metric: str) -> Iterator[dict[str, Any]]:
        for member in self.members:
            for cell in member.interactions.cells(metric) if member.interactions is not None else ():
                yield {
                    "checkpoint": member.name,
                    **asdict(cell),
                    "value": cell.j,
                    "control": cell.control_j,
                }

    def _interaction_difference_rows(self, metric: str) -> Iterator[dict[str, Any]]:
        for before, after in self.steps:
            if before.interactions is not None and after.interactions is not None:
                found = interaction_differences(before.interactions, after.interactions, metric)
                n = len(after.interactions.samples.rows)
                for patch, verdict in found.items():
                    yield {"checkpoint": after.name, "before": before.name, "patch": patch, **verdict.plain(), "n": n}

    def _cosine_rows(self) -> Iterator[dict[str, Any]]:
        for (before, after), layers in self.cosines().items():
            for alike in layers:
                yield {"checkpoint": after, "before": before, **asdict(alike)}

    def _transplant_rows(self, metric: str) -> Iterator[dict[str, Any]]:
        for (donor, receiver), found in self.transplants.items():
            for row in found.summary(metric)["cells"]:
                yield {"checkpoint": receiver, "donor": donor, **row}
