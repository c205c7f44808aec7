"""The clean game: in which blocks later tokens read the instruction from one token, and how far these add up.

A player is a block at which later tokens read the position's keys and values from the instructed run
(`ivx.engine.hooks.keys_values`). Every coalition of blocks is defined and none overwrites another, so the game has
Shapley values, interactions and dividends. Up to ten blocks all coalitions are run. Beyond, groups of adjacent blocks
are players first, and the blocks of those that matter next (`ivx.analyses.game.players`); of more than ten players the
coalitions of random orders are run, more of them until their halves agree.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.game.players import EXACT, Blocks, Players, matter, opened, partitions
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import DOUBLINGS, SETTLED, Game, blocks_of, played
from ivx.analyses.game.saved import blocks_in
from ivx.engine.address import KEYS_VALUES, coalition
from ivx.engine.hooks.keys_values import read_runs
from ivx.engine.hooks.run import bytes_per_row, rows_within
from ivx.engine.plan.forecast import Forecast
from ivx.engine.schema import SCHEMA
from ivx.engine.turns import FREE_SHARE
from ivx.models.memory import free_bytes
from ivx.models.model import Model
from ivx.patching.positions import column_at, columns_of
from ivx.patching.prepare import measured, opening, prepare, run_told
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, labelled, sampled
from ivx.tasks.sample import Sample

ROLES = ("effect", "control")
TRIED = 16
"""Coalitions of one sample that are timed for a forecast."""
Lacking = dict[tuple[Blocks, ...], list[int]]
"""Samples by the coalitions that they lack."""


def compute(
    model: Model,
    request: GameRequest,
    *,
    on_progress: Progress[Game] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Game:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again.

    Each result that is handed to `on_progress` shows the last partition that was played whole.
    """
    began = time.perf_counter()
    samples, receipt = prepare(model, request)
    position = int(column_at(columns_of(model, samples.rows), request.position, samples.rows).position)
    instructed, _ = run_told(model, samples, beat=beat)
    receipt["how"] = "hooks: keys and values of one token"
    finished = opening(instructed, known)
    sources = {"effect": samples.rows, "control": samples.control}
    has = {role: _known(known, role) for role in ROLES}
    done = 0 if known is None else known.filter(pc.field("role") != "told").num_rows
    shown = Game(
        request=request,
        table=instructed,
        samples=samples,
        players=(),
        sets=np.zeros(0, dtype=np.int64),
        orders=None,
        position=position,
        layers=model.layers,
        receipt=receipt,
    )

    def result() -> Game:
        table = pa.concat_tables(finished)
        return replace(shown, table=table, receipt=measured(receipt, table, began=began))

    def play(players: Players, *, doublings: int = 0, later: int = 0) -> None:
        """Run a partition's coalitions and show it; `later` rows will follow."""
        nonlocal done, shown
        sets, orders = played(request, players=players, doublings=doublings)
        asked = blocks_of(sets, players)
        parts = [
            (role, lacking, members)
            for role in ROLES
            if sources[role]
            for lacking, members in _lacking(asked, has[role], samples=len(samples.rows), position=position).items()
        ]
        total = done + sum(len(lacking) * len(members) for _, lacking, members in parts) + later
        for role, lacking, members in parts:
            for batch in read_runs(
                model,
                **_asked(request, samples.rows, sources[role], members),
                position=position,
                coalitions=lacking,
                beat=beat,
            ):
                finished.append(labelled(_of(batch, members), role, KEYS_VALUES))
                done += batch.num_rows
                if on_progress is not None:
                    on_progress(result(), done, total)
            for k in members:
                has[role][k].update(coalition(blocks, position) for blocks in lacking)
        shown = replace(shown, players=players, sets=sets, orders=orders)
        if parts and on_progress is not None:
            on_progress(result(), done, total)

    each = len(samples.rows) + len(samples.control)
    ahead = _ahead(request, layers=model.layers)
    for k, players in enumerate(partitions(model.layers), start=1):
        play(players, later=each * len(set().union(*ahead[k:]) - set().union(*ahead[:k])))
    if model.layers > EXACT:
        found = matter(shown.players, [verdict.value for verdict in result().shapley()])
        play(opened(shown.players, found))
    for doublings in range(1, DOUBLINGS + 1):
        agreed = result().halves()
        if agreed is None or agreed[0] >= SETTLED:
            break
        play(shown.players, doublings=doublings)
    return result()


def cost_of(model: Model, request: GameRequest) -> Forecast:
    """What a request will cost, as if two groups will matter and their first orders agree; a few rows are timed."""
    samples, _ = prepare(model, request)
    position = int(column_at(columns_of(model, samples.rows), request.position, samples.rows).position)
    plays = set().union(*_ahead(request, layers=model.layers))
    count = len(plays) * (len(samples.rows) + len(samples.control))
    few = sorted(plays, key=len)[-TRIED:]
    runs = partial(read_runs, model, **_asked(request, samples.rows, samples.rows, [0]), position=position)
    list(runs(coalitions=few[:1]))
    began = time.perf_counter()
    list(runs(coalitions=few))
    seconds = (time.perf_counter() - began) / len(few) * count
    length = max(len(s.target) for s in samples.rows)
    batch = min(count, rows_within(model, length, FREE_SHARE * free_bytes(str(model.device)) / 1e9))
    weights = sum(p.numel() for block in model.blocks for p in block.parameters())
    return Forecast(
        rows=count,
        passes=math.ceil(count / batch),
        flops=2.0 * count * (weights * length + model.width * model.vocabulary),
        read_bytes=0 if model.stream is None else math.ceil(count / batch) * model.stream.size,
        memory_bytes=batch * bytes_per_row(model, length),
        seconds=seconds,
    )


def _ahead(request: GameRequest, *, layers: int) -> list[set[Blocks]]:
    """The coalitions of each partition, the last one's as if two groups will matter."""
    found = [*partitions(layers)]
    if layers > EXACT:
        *_, groups = found
        found.append(opened(groups, matter(groups, [1.0, 1.0, *[0.0] * (len(groups) - 2)])))
    return [set(blocks_of(played(request, players=players)[0], players)) for players in found]


def _lacking(asked: Sequence[Blocks], has: dict[int, set[str]], *, samples: int, position: int) -> Lacking:
    """The coalitions that samples lack, and the samples that lack them."""
    names = [coalition(blocks, position) for blocks in asked]
    found: Lacking = defaultdict(list)
    for k in range(samples):
        lacking = tuple(blocks for blocks, name in zip(asked, names, strict=True) if name not in has[k])
        if lacking:
            found[lacking].append(k)
    return found


def _asked(
    request: GameRequest, rows: Sequence[Sample], sources: Sequence[Sample], members: Sequence[int]
) -> dict[str, Any]:
    """What the runs of some samples are told."""
    return {
        "source": [instruction_of(request, sources[k]) for k in members],
        "target": [rows[k].target for k in members],
        "answer": [rows[k].answer_tokens for k in members],
        "contrast": [rows[k].contrast_tokens for k in members],
    }


def _of(batch: pa.RecordBatch, members: Sequence[int]) -> pa.Table:
    """Rows of some samples, by their numbers among all."""
    numbers = pa.array(np.asarray(members)[batch["sample"].to_numpy()], SCHEMA.field("sample").type)
    table = pa.Table.from_batches([batch])
    return table.set_column(SCHEMA.get_field_index("sample"), SCHEMA.field("sample"), numbers)


def _known(known: pa.Table | None, role: str) -> dict[int, set[str]]:
    """The coalitions that already have rows, by sample."""
    has: dict[int, set[str]] = defaultdict(set)
    if known is not None:
        here = known.filter(pc.field("role") == role)
        for k, patch in zip(here["sample"].to_pylist(), here["patch"].to_pylist(), strict=True):
            has[k].add(patch)
    return has


def replay(
    model: Model, found: Game, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some coalitions again, one sample at a time.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    played_rows = found.table.filter(pc.field("role") != "told")
    told = {"effect": found.samples.rows, "control": found.samples.control}
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(played_rows, rows, seed=seed):
        beat()
        role, patch, k = row["role"], row["patch"], row["sample"]
        sample = found.samples.rows[k]
        blocks = blocks_in(patch, layers=found.layers)
        (batch,) = read_runs(
            model,
            source=[instruction_of(found.request, told[role][k])],
            target=[sample.target],
            answer=[sample.answer_tokens],
            contrast=[sample.contrast_tokens],
            position=found.position,
            coalitions=[blocks],
        )
        names.append((role, row["site"], patch, k))
        before.append(row["logit"])
        now.append(batch["logit"][-1].as_py())
    return names, before, now


STEPS: Steps[GameRequest, Game] = Steps(compute=compute, replay=replay, cost=cost_of)
