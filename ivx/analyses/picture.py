"""A picture: one or several results as one figure with a title, checkpoint, task, number of samples and a caption.

Results that a page shows side by side are composed as there: a glance (effects, probes and a game of one checkpoint) on
one scale, and a place with the exchange of its family's vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses import inscription
from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.compare.result import Comparison
from ivx.analyses.compare.text import short
from ivx.analyses.effects.result import Effects
from ivx.analyses.game.result import Game
from ivx.analyses.inscription import Shown
from ivx.analyses.place import drawing
from ivx.analyses.place.result import Place
from ivx.analyses.separability.result import Separability
from ivx.charts.composed import composed
from ivx.charts.dumbbell import dumbbell_figure
from ivx.charts.figure import figure
from ivx.charts.numbers import scale_of
from ivx.charts.pairs import pair_figure
from ivx.charts.palette import LIGHT, Palette
from ivx.charts.shares import printed_shares, shares_chart
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.formats import pictures
from ivx.models.registry import known
from ivx.stats.metrics import PRIMARY, find

GLANCE, FAMILY = (Effects, Separability, Game), (Place, Exchange)
"""Results that are composed as a page shows them."""
HEIGHT, CELL = 300, 120
"""Height of a plot beside others, and width of a matrix's cell, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A picture, and the numbers in it.

    Attributes:
        spec: of Vega-Lite.
        plotted: what it shows, a row per number (`ivx.formats.plotted.ROWS`).
    """

    spec: dict[str, Any]
    plotted: pa.Table

    def svg(self) -> str:
        """As SVG, whose title and description say what it is."""
        return pictures.svg(self.spec)

    def png(self) -> bytes:
        """As PNG, for print."""
        return pictures.png(self.spec)

    def save(self, path: Path | str) -> None:
        """Write FILE.svg or .png; raises `IvxError` for another name, or where it cannot be written."""
        path = Path(path)
        check_name(path)
        try:
            if path.suffix == ".svg":
                path.write_text(self.svg(), encoding="utf-8")
            else:
                path.write_bytes(self.png())
        except OSError as error:
            raise IvxError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error


def check_name(path: Path) -> None:
    """Refuse a file whose name says neither SVG nor PNG."""
    if path.suffix not in (".svg", ".png"):
        raise IvxError(f"{path} is no name of a picture: let it end in .svg or .png")


def picture(*results: Shown, metric: str = PRIMARY, title: str = "", palette: Palette = LIGHT) -> Picture:
    """One picture of one or several results; raises `IvxError` for none.

    Args:
        results: what is shown, from left to right.
        title: by default what the first one's analysis shows.
        palette: of a place with its exchange alone; every other figure is light, for print.
    """
    if not results:
        raise IvxError("a picture is of one result at least: give one")
    find(metric)
    figures, tables = _panels(results, metric, palette)
    spec = composed(
        figures,
        title=title or inscription.title(results[0]),
        about=inscription.about(results, metric),
        captions=inscription.captions(results, metric, drawn=_drawn(results)),
        palette=palette if tuple(map(type, results)) == FAMILY else LIGHT,
    )
    return Picture(spec, pa.concat_tables(tables))


def compared(found: Comparison, *, metric: str = PRIMARY) -> Picture:
    """One picture of checkpoints side by side: their effect maps, then what changed from one to the next, on one scale.

    Raises `IvxError` where a checkpoint has no effects, or where maps cannot be compared.
    """
    effects = [member.effects for member in found.members if member.effects is not None]
    if len(effects) < len(found.members):
        raise IvxError("a checkpoint of the comparison has no effect map: run the effects of each first")
    captions = inscription.captions([effects[-1]], metric, drawn=(STREAM,))
    others = [one.run_id for one in effects[:-1]]  # the last one's stands in its own caption
    said = "A difference is over the same samples: the later checkpoint’s effect less the earlier one’s."
    spec = composed(
        found.figures(metric),
        title="What each checkpoint’s states do, and what training changed",
        about=inscription.about(effects, metric),
        captions=[*captions, f"{said} The other run{'s' * (len(others) > 1)}: {', '.join(others)}."],
    )
    return Picture(spec, found.plotted(metric))


def _panels(results: Sequence[Shown], metric: str, p: Palette) -> tuple[list[dict[str, Any]], list[pa.Table]]:
    """The figures, and the tables of what they show."""
    kinds = tuple(map(type, results))
    tables = [one.plotted(metric) for one in results]
    if kinds == GLANCE:
        effects = tables[0].filter(pc.equal(tables[0]["figure"], STREAM))
        return _glance(*results, metric=metric), [effects, *tables[1:]]  # type: ignore[arg-type]
    if kinds == FAMILY:
        named = pc.not_equal(tables[0]["figure"], "place")
        return _family(*results, metric=metric, p=p), [tables[0].filter(named), tables[1]]  # type: ignore[arg-type]
    return [spec for one in results for spec in one.figures(metric).values()], tables


def _drawn(results: Sequence[Shown]) -> tuple[str, ...]:
    """The names of the figures that are drawn, where not all are."""
    kinds = tuple(map(type, results))
    return (STREAM, "pairs") if kinds == GLANCE else ("acts", "readers") if kinds == FAMILY else ()


def _glance(effects: Effects, probes: Separability, game: Game, *, metric: str) -> list[dict[str, Any]]:
    """What acts, what can be read, and what acts together: layers line up, and effect and interaction share a scale."""
    view, cells, laid = find(metric), effects.cells(STREAM, metric), game.laid(metric)
    scale = scale_of([cell.value for cell in cells] + [pair.value for pair in laid.pairs if pair.state != "zero"])
    acts = figure(
        cells,
        [column.label for column in effects.maps[STREAM]],
        layers=effects.layers,
        site=STREAM,
        what=view.label,
        unit=view.unit,
        scale=scale,
    )
    reads = dumbbell_figure(
        probes.bells(STREAM),
        layers=probes.layers,
        title="",
        subtitle=[f"{len(probes.tasks)} tasks; blue: accuracy; grey: shuffled labels", *_baselines(probes)],
        baselines=probes.baselines(),
        row=42 if probes.layers <= 16 else 14,
    )
    pairs = pair_figure(laid, title="", unit=view.unit, scale=scale)
    titles = ("Causal effect, layer × position", "Linear separability, by layer", "Interactions, layer × layer")
    return [
        {**spec, "title": {**spec["title"], "text": title}}
        for spec, title in zip((acts, reads, pairs), titles, strict=True)
    ]


def _baselines(probes: Separability) -> list[str]:
    told = [f"{name} {value:.0%}" for name, value in probes.baselines().items()]
    return [f"a guess {probes.chance:.0%}, {', '.join(told)}"]


def _family(place: Place, exchange: Exchange, *, metric: str, p: Palette) -> list[dict[str, Any]]:
    """Where a vector acts, who reads it, and whose is read by whom."""
    found, readers, cells = place.found(metric), place.readers(metric), exchange.cells(metric)
    drawn = [] if found is None else [drawing.printed_acts(place, found, metric, p)]
    if readers is not None:
        drawn.append(drawing.printed_readers(readers, metric, p, height=HEIGHT))
    for task in exchange.tasks:
        names = [one.stage if (one := known(name)) else short(name) for name in exchange.names]
        spec = shares_chart(
            exchange.squares(task, cells), names=names, unit=find(metric).unit, palette=p, height=HEIGHT - 44
        )
        layers = ", ".join(map(str, exchange.averaged))
        told = f"layer {layers}: share that follows, with the mean effect"
        drawn.append(printed_shares(spec, title="Whose vector is read by whom", subtitle=told, width=CELL * len(names)))
    return drawn
