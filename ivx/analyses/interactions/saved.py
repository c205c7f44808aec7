"""How interactions are kept: their samples and players, and the estimates of their pairs."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.interactions.players import Player, Sets, sets_with_equals
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.result import Interactions
from ivx.formats.checks import LARGEST, each, keys, maybe, refuse, text, whole
from ivx.formats.samples import (
    MAX_COLUMNS,
    MAX_LAYERS,
    SAMPLES,
    column_read,
    layers_read,
    samples_read,
    samples_written,
)
from ivx.formats.sweeps import check_sweep
from ivx.patching.table import ROWS
from ivx.stats.metrics import METRICS


def write(found: Interactions) -> dict[str, Any]:
    """The players, and what was estimated of each pair."""
    return {
        **samples_written(found.samples),
        "players": [_player_written(player) for player in found.players],
        "estimates": found.estimates,
    }


def read(request: InteractionsRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Interactions:
    """The result; raises `IvxError`."""
    samples, layers = samples_read(told), layers_read(told)
    players = tuple(each(told["players"], "players", _player, most=MAX_COLUMNS, least=1))
    sets, equals = sets_with_equals(request, players, samples, layers=layers)
    estimates = _estimates(told["estimates"], sets[2])
    return Interactions(
        request=request,
        table=table,
        samples=samples,
        players=players,
        sets=sets,
        equals=equals,
        layers=layers,
        receipt=receipt,
        estimates=estimates,
    )


def _player_written(player: Player) -> dict[str, Any]:
    return asdict(player) | {"column": None if player.column is None else list(player.column)}


def _player(told: Any, what: str) -> Player:
    keys(told, *(field.name for field in fields(Player)), what=what)
    return Player(
        address=text(told["address"], f"{what}, address"),
        label=text(told["label"], f"{what}, label"),
        site=text(told["site"], f"{what}, site"),
        layer=whole(told["layer"], f"{what}, layer", 0, MAX_LAYERS),
        head=maybe(told["head"], f"{what}, head", lambda v, w: whole(v, w, 0, MAX_COLUMNS)),
        column=maybe(told["column"], f"{what}, column", column_read),
    )


def _estimates(told: Any, pairs: Sets) -> dict[str, dict[str, float]]:
    if not isinstance(told, dict) or len(told) > len(METRICS):
        refuse("estimates", "numbers by metric and pair")
    for metric, values in told.items():
        if metric not in METRICS or not isinstance(values, dict) or not values.keys() <= pairs.keys():
            refuse("estimates", "numbers by metric and pair")
        for value in values.values():
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                refuse("estimates", "finite numbers")
    return told


def check(found: Interactions) -> None:
    """Refuse rows and a receipt that no sweep returned; raises `IvxError`."""
    check_sweep(found, sites=(",".join(found.request.sites),))


SAVED: Saved[InteractionsRequest, Interactions] = Saved(
    result=Interactions,
    rows=ROWS,
    context=(*SAMPLES, "players", "estimates"),
    write=write,
    read=read,
    check=check,
)
