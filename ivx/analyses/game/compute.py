"""The clean game: in which blocks later tokens read the instruction from one token, and how far these add up.

A player is a block at which later tokens read the position's keys and values from the instructed run
(`ivx.engine.hooks.keys_values`). Every coalition of blocks is defined and none overwrites another, so the game has
Shapley values, interactions and dividends. Up to ten blocks all coalitions are run; beyond, those of random
orders, more of them until their halves agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import DOUBLINGS, SETTLED, Game, played
from ivx.engine.address import KEYS_VALUES
from ivx.engine.hooks.keys_values import read_runs
from ivx.models.model import Model
from ivx.patching.positions import column_at, columns_of
from ivx.patching.prepare import measured, prepare, run_told
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, labelled, sampled
from ivx.stats import coalitions


def compute(
    model: Model,
    request: GameRequest,
    *,
    on_progress: Progress[Game] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Game:
    """Run a request on a loaded model; a game is always computed as a whole: `known` is ignored."""
    began = time.perf_counter()
    samples, receipt = prepare(model, request)
    rows, n = samples.rows, len(samples.rows)
    position = int(column_at(columns_of(model, rows), request.position, rows).position)
    instructed, _ = run_told(model, samples, beat=beat)
    finished = [instructed]
    receipt["how"] = "hooks: keys and values of one token"
    sets, orders = played(request, layers=model.layers)
    ran: set[int] = set()
    done = 0

    def result() -> Game:
        table = pa.concat_tables(finished)
        return Game(
            request=request,
            table=table,
            samples=samples,
            sets=sets,
            orders=orders,
            position=position,
            layers=model.layers,
            receipt=measured(receipt, table, began=began),
        )

    def run(total: int) -> None:
        nonlocal done
        new = coalitions.members_of(np.array([k for k in sets.tolist() if k not in ran]), players=model.layers)
        for role, sources in (("effect", rows), ("control", samples.control)):
            if not sources:
                continue
            for batch in read_runs(
                model,
                source=[instruction_of(request, s) for s in sources],
                target=[s.target for s in rows],
                answer=[s.answer_tokens for s in rows],
                contrast=[s.contrast_tokens for s in rows],
                position=position,
                coalitions=new,
                beat=beat,
            ):
                finished.append(labelled(pa.Table.from_batches([batch]), role, KEYS_VALUES))
                done += batch.num_rows
                if on_progress is not None:
                    on_progress(result(), done, total)
        ran.update(sets.tolist())

    each = n + len(samples.control)
    run(len(sets) * each)
    for doublings in range(1, DOUBLINGS + 1):
        agreed = result().halves()
        if agreed is None or agreed[0] >= SETTLED:
            break
        sets, orders = played(request, layers=model.layers, doublings=doublings)
        run(len(sets) * each)
    return result()


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
        blocks = tuple(int(part.partition("@")[0].partition(".")[2]) for part in patch.split(",") if part)
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


STEPS: Steps[GameRequest, Game] = Steps(compute=compute, replay=replay)
