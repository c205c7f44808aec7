"""The pair map: one cell per pair, the later player up, the earlier across; or layers up, pairs of tokens across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ivx.charts.figure import printed
from ivx.charts.frame import CROWDED, LEAST
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import scale_of
from ivx.charts.palette import LIGHT, Palette

STRICT, HARMFUL, DEGENERATE = "◆", "▽", "—"
"""A pair exceeds both the sum and its stronger half; both patches are harmful; it follows from the two alone."""
MARKS = {
    STRICT: "exceeds both the sum and its stronger half",
    HARMFUL: "two harmful patches",
    DEGENERATE: "follows from its halves",
}
"""What the marks say, in a printed figure that has them."""
MAP_HEIGHT = 420


@dataclass(frozen=True)
class Pair:
    """What a pair map shows of two players: `low` and `high` number them; `name` is both, `patch` their address.

    `state` as of a `Tile`; `row` and `column` say where the pair stands.
    """

    low: int
    high: int
    patch: str
    value: float
    state: str
    glyph: str = ""
    told: str = ""
    name: str = ""
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class Laid:
    """Pairs on a map, with the names of its rows and columns; `layers` says that the rows are the layers themselves.

    On a map of players against players only the half beneath the diagonal exists (`half`).
    """

    pairs: tuple[Pair, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    half: bool = True
    layers: bool = True

    @property
    def height(self) -> int:
        """Pixels of a row."""
        return 50 if len(self.rows) <= 12 else max(LEAST, MAP_HEIGHT // len(self.rows))


def pair_map(
    laid: Laid,
    *,
    scale: float,
    palette: Palette,
    chosen: Pair | None = None,
    row: int | None = None,
    labels: bool = False,
) -> dict[str, Any]:
    """The Vega-Lite spec; pairs that are not there are drawn empty. Rows are labelled where no strip beside does it."""
    there = {(pair.row, pair.column) for pair in laid.pairs}
    tiles = [Tile(pair.row, pair.column, pair.value, pair.state, pair.told, pair.glyph) for pair in laid.pairs]
    tiles += [
        Tile(i, j, 0.0, "absent" if laid.half and j >= i else "empty")
        for i in range(len(laid.rows))
        for j in range(len(laid.columns))
        if (i, j) not in there
    ]
    return heatmap(
        tiles,
        laid.columns,
        layers=len(laid.rows),
        scale=scale,
        palette=palette,
        selected=(chosen.row, chosen.column) if chosen is not None else None,
        bold=chosen.column if chosen is not None else None,
        row_labels=labels or not laid.layers,
        row=row or laid.height,
        names=() if laid.layers else laid.rows,
        mono=False,
        alt_text=f"Pair map, {len(laid.rows)} rows by {len(laid.columns)} columns",
    )


def pair_figure(laid: Laid, *, title: str, unit: str, scale: float | None = None) -> dict[str, Any]:
    """The map for print: light, of fixed width, its rows named, nothing to click. `scale` is that of maps beside it."""
    scale = scale or scale_of([pair.value for pair in laid.pairs if pair.state != "zero"])
    small = len(laid.rows) > CROWDED
    spec = pair_map(laid, scale=scale, palette=LIGHT, row=laid.height if small else 42, labels=True)
    how = "later up, earlier across" if laid.half else "layers up, pairs of tokens across"
    there = {pair.glyph for pair in laid.pairs}
    named = "; ".join(f"{glyph} {said}" for glyph, said in MARKS.items() if glyph in there)
    marks = [named, how] if named else [how]
    width = max(480, len(laid.columns) * (10 if small else 70))
    return printed(spec, title=title, unit=unit, width=width, marks=marks)


def layers_laid(pairs: Sequence[Pair], layers: int) -> Laid:
    """Pairs of layers, the later one up."""
    names = tuple(f"L{i}" for i in range(layers))
    return Laid(tuple(pairs), names, names[:-1])
