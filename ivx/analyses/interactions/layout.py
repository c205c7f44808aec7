"""Layout: where the pairs of a game stand on a map.

Rows and columns are players. Where these are the positions of one layer, rows are layers and columns pairs of tokens,
since only tokens of one layer are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from ivx.analyses.interactions.pairs import PairCell
from ivx.analyses.interactions.players import Player
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.restoration import PARTS, SYMBOL, RestoredPair
from ivx.charts.numbers import signed
from ivx.charts.pairs import DEGENERATE, HARMFUL, STRICT, Laid, Pair
from ivx.formats.plotted import Plotted
from ivx.stats.metrics import find


def laid(cells: Sequence[PairCell], players: Sequence[Player], request: InteractionsRequest, *, show: str) -> Laid:
    """The pairs as a map shows them: `show` is `j`, `both` or `gain`; their state is J's in any case."""
    number = {player.address: i for i, player in enumerate(players)}
    if request.over != "positions":
        pairs = [_pair(cell, number[cell.first], number[cell.second], players, show) for cell in cells]
        names = tuple(player.label for player in players)
        return Laid(tuple(pairs), names, names[:-1], layers=numbered(request))
    columns = list(dict.fromkeys(player.column for player in players if player.column is not None))
    places = list(combinations(columns, 2))
    layers = sorted({player.layer for player in players})
    found = []
    for cell in cells:
        low, high = number[cell.first], number[cell.second]
        first, second = players[low].column, players[high].column
        assert first is not None and second is not None  # over positions, every player has one
        at = (layers.index(players[low].layer), places.index((first, second)))
        found.append(_pair(cell, low, high, players, show, at))
    shown = tuple(f"{first.label} {second.label}" for first, second in places)
    return Laid(tuple(found), tuple(f"L{i}" for i in layers), shown, half=False, layers=not request.layers)


def numbered(request: InteractionsRequest) -> bool:
    """Whether the players are all layers at one site, so that each is known by its number."""
    return request.over == "layers" and len(request.sites) == 1 and not request.layers


def _pair(
    cell: PairCell, low: int, high: int, players: Sequence[Player], show: str, at: tuple[int, int] | None = None
) -> Pair:
    value = {"j": cell.j, "both": cell.both, "gain": cell.gain}[show]
    strict = cell.strict and cell.state == "ok"  # the mark would mislead on a cell no better than its control
    glyph = DEGENERATE if cell.degenerate else STRICT if strict else HARMFUL if cell.signs == "--" else ""
    told = f"J {signed(cell.j, 2)} [{signed(cell.low, 2)}, {signed(cell.high, 2)}]"
    if cell.degenerate:
        told = f"degenerate, {cell.degenerate}"
    elif cell.state == "estimate":
        told = "an estimate; the exact value is being computed"
    state = "zero" if cell.state == "degenerate" else cell.state
    one, two = players[low].label, players[high].label
    row, column = at or (high, low)
    shown = cell.j if value is None else value
    return Pair(low, high, cell.patch, shown, state, glyph, f"{one}, {two}: {told}", f"{one} with {two}", row, column)


def drawn(cells: Sequence[PairCell], laid: Laid, players: Sequence[Player], metric: str) -> Iterator[Plotted]:
    """The finished pairs as rows, named as the map names them; the layer is the later player's."""
    named, unit = {pair.patch: pair.name for pair in laid.pairs}, find(metric).unit
    later = {player.address: player.layer for player in players}
    for cell in cells:
        if cell.state != "estimate":
            own = (cell.j, cell.low, cell.high, cell.p, cell.control_j, cell.p_control, cell.state)
            name, layer = named[cell.patch], later[cell.second]
            yield Plotted("pairs", cell.patch, name, layer, *own, n=cell.n, what=f"J of {metric}", unit=unit)


def laid_parts(
    pairs: Sequence[RestoredPair], players: Sequence[Player], request: InteractionsRequest, part: str
) -> Laid:
    """One part of J of the finished pairs of layers."""
    number = {player.address: i for i, player in enumerate(players)}
    found = []
    for pair in pairs:
        low, high, judged = number[pair.first], number[pair.second], pair.part(part)
        told = f"{SYMBOL[part]} {signed(judged.value, 2)} [{signed(judged.low, 2)}, {signed(judged.high, 2)}]"
        glyph, state = (DEGENERATE, "zero") if pair.degenerate else ("", judged.state)
        one, two = players[low].label, players[high].label
        names = f"{one}, {two}: {told}", f"{one} with {two}"
        found.append(Pair(low, high, pair.patch, judged.value, state, glyph, *names, high, low))
    labels = tuple(player.label for player in players)
    return Laid(tuple(found), labels, labels[:-1], layers=numbered(request))


def drawn_parts(pairs: Sequence[RestoredPair], players: Sequence[Player], metric: str) -> Iterator[Plotted]:
    """Both parts of J of the finished pairs as rows, the degenerate ones without p."""
    of = {player.address: player for player in players}
    for part in PARTS:
        for pair in pairs:
            v, free = pair.part(part), bool(pair.degenerate)
            name = f"{of[pair.first].label} with {of[pair.second].label}"
            tested = (v.value, v.low, v.high, None if free else v.p, v.control, None if free else v.p_control)
            what = f"{SYMBOL[part]} of {metric}"
            yield Plotted(
                part, pair.patch, name, of[pair.second].layer, *tested, "degenerate" if free else v.state,
                n=pair.n, what=what, unit=find(metric).unit,
            )  # fmt: skip
