"""The clean game: which blocks' readings of one token carry the instruction, and how far they add up.

A player is a block at which later tokens read the position's keys and values from the instructed run
(`ivx.engine.hooks.keys_values`). Every coalition of blocks is defined and none overwrites another, so the game has
Shapley values, interactions and dividends. Up to ten blocks all coalitions are run; beyond, those of random orders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import Game, played
from ivx.engine.address import KEYS_VALUES
from ivx.engine.hooks.keys_values import read_runs
from ivx.models.model import Model
from ivx.patching.positions import column_at, columns_of
from ivx.patching.prepare import opened, prepared, told
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import labelled
from ivx.stats import coalitions

Progress = Callable[["Game", int, int], None]
"""Called with the result so far, and how many of how many rows are done; what it raises ends the work."""


def game(model: Model | str, task: str, *, on_progress: Progress | None = None, **asked: Any) -> Game:
    """The clean game of one instruction on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.
        asked: the other fields of `GameRequest`.
    """
    return compute(*opened(GameRequest, model, task, asked), on_progress=on_progress)


def compute(
    model: Model, request: GameRequest, *, on_progress: Progress | None = None, known: pa.Table | None = None
) -> Game:
    """Run a request on a loaded model; a game is played again from its first row, whatever is `known`."""
    began = time.perf_counter()
    samples, receipt = prepared(model, request)
    rows, n = samples.rows, len(samples.rows)
    position = int(column_at(columns_of(model, rows), request.position, rows).position)
    sets, orders = played(request, layers=model.layers)
    members = coalitions.members_of(sets, players=model.layers)
    instructed, _ = told(model, samples)
    finished = [instructed]
    receipt["how"] = "hooks: keys and values of one token"
    total = len(sets) * (n + len(samples.control))
    done = 0

    def result() -> Game:
        table = pa.concat_tables(finished)
        known = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Game(request, table, samples, sets, orders, position, model.layers, known)

    for role, sources in (("effect", rows), ("control", samples.control)):
        if not sources:
            continue

        for batch in read_runs(
            model,
            source=[instruction_of(request, s) for s in sources],
            target=[s.target for s in rows],
            answer=[s.answer_id for s in rows],
            contrast=[s.contrast_id for s in rows],
            position=position,
            coalitions=members,
        ):
            finished.append(labelled(pa.Table.from_batches([batch]), role, KEYS_VALUES))
            done += batch.num_rows
            if on_progress is not None:
                on_progress(result(), done, total)
    return result()
