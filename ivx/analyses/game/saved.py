"""How a clean game is kept: its samples, and the position whose keys and values are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import Game, played
from ivx.engine.address import KEYS_VALUES
from ivx.formats.checks import whole
from ivx.formats.samples import MAX_TOKENS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.table import ROWS


def write(found: Game) -> dict[str, Any]:
    """The position."""
    return {**samples_written(found.samples), "position": found.position}


def read(request: GameRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Game:
    """The result; raises `IvxError`."""
    layers, position = layers_read(told), whole(told["position"], "position", -MAX_TOKENS, MAX_TOKENS)
    sets, orders = played(request, layers=layers)
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
