"""How a clean game is kept: its samples, and the position whose keys and values are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.game.players import EXACT, Blocks, Players, blocks_alone, seen_in
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import DOUBLINGS, Game, blocks_of, played
from ivx.engine.address import KEYS_VALUES, coalition
from ivx.formats.checks import refuse, whole
from ivx.formats.samples import MAX_TOKENS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.numeral import index_of
from ivx.patching.table import ROWS
from ivx.stats import coalitions


def write(found: Game) -> dict[str, Any]:
    """The position."""
    return {**samples_written(found.samples), "position": found.position}


def read(request: GameRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Game:
    """The result; raises `IvxError`."""
    layers, position = layers_read(told), whole(told["position"], "position", -MAX_TOKENS, MAX_TOKENS)
    players, sets, orders = _played(request, table, layers=layers, position=position)
    return Game(
        request=request,
        table=table,
        samples=samples_read(told),
        players=players,
        sets=sets,
        orders=orders,
        position=position,
        layers=layers,
        receipt=receipt,
    )


def _played(
    request: GameRequest, table: pa.Table, *, layers: int, position: int
) -> tuple[Players, coalitions.Sets, coalitions.Sets | None]:
    """The players, coalitions and orders of a result: as fine, and as many doublings, as its rows hold."""
    there = set(pc.unique(table["patch"]).to_pylist())
    players = blocks_alone(layers)
    if layers > EXACT:
        players = seen_in((blocks_in(patch, layers=layers) for patch in there), layers)
    for doublings in range(DOUBLINGS, 0, -1):
        sets, orders = played(request, players=players, doublings=doublings)
        names = {coalition(blocks, position) for blocks in blocks_of(sets, players)}
        if orders is not None and names <= there:
            return players, sets, orders
    return players, *played(request, players=players)


def blocks_in(patch: str, *, layers: int) -> Blocks:
    """The blocks of a coalition, from its name in a table; raises `IvxError`."""
    found = [
        index_of(part.partition("@")[0].removeprefix(f"{KEYS_VALUES}."), below=layers)
        for part in patch.split(",")
        if part
    ]
    if None in found:
        refuse("rows, column patch", f"coalitions of {layers} blocks")
    return tuple(i for i in found if i is not None)


def check(found: Game) -> None:
    """Refuse rows and a receipt that no sweep returned; raises `IvxError`."""
    check_sweep(found, sites=(KEYS_VALUES,))


SAVED: Saved[GameRequest, Game] = Saved(
    result=Game,
    rows=ROWS,
    context=(*SAMPLES, "position"),
    write=write,
    read=read,
    check=check,
)
