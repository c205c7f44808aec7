"""How a clean game is kept: its samples, and the position whose keys and values are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import DOUBLINGS, Game, played
from ivx.engine.address import KEYS_VALUES, coalition
from ivx.formats.checks import whole
from ivx.formats.samples import MAX_TOKENS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.table import ROWS
from ivx.stats import coalitions


def write(found: Game) -> dict[str, Any]:
    """The position."""
    return {**samples_written(found.samples), "position": found.position}


def read(request: GameRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Game:
    """The result; raises `IvxError`."""
    layers, position = layers_read(told), whole(told["position"], "position", -MAX_TOKENS, MAX_TOKENS)
    sets, orders = _drawn(request, table, layers=layers, position=position)
    return Game(
        request=request,
        table=table,
        samples=samples_read(told),
        sets=sets,
        orders=orders,
        position=position,
        layers=layers,
        receipt=receipt,
    )


def _drawn(
    request: GameRequest, table: pa.Table, *, layers: int, position: int
) -> tuple[coalitions.Sets, coalitions.Sets | None]:
    """The coalitions and orders of a result: as many doublings as its rows hold."""
    there = set(pc.unique(table["patch"]).to_pylist())
    for doublings in range(DOUBLINGS, 0, -1):
        sets, orders = played(request, layers=layers, doublings=doublings)
        names = {coalition(blocks, position) for blocks in coalitions.members_of(sets, players=layers)}
        if orders is not None and names <= there:
            return sets, orders
    return played(request, layers=layers)


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
