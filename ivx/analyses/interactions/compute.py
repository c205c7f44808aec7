"""Interactions: what patches do together beyond the sum of what they do apart.

Per sample, `J(a, b) = f(ab) − f(a) − f(b)`. Singles, pairs and, where asked, triples of all players go through one
sweep, with each sample's own source and with its controls'. Sets that equal a smaller one by an identity are not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.effects.compute import ESTIMATED, shaded
from ivx.analyses.interactions.deltas import add_rows, replay_added
from ivx.analyses.interactions.players import Player, played, players_of, sets_with_equals
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.result import Interactions
from ivx.engine.linear.curvature import curvature
from ivx.engine.plan.forecast import Forecast
from ivx.models.model import Model
from ivx.patching import kept, sweeping
from ivx.patching.prepare import measured, opening, prepare, run_told, samples_of
from ivx.patching.replay import replay as replay_rows
from ivx.patching.roles import Ids, Runs, denoising
from ivx.patching.sweeping import instruction_of, rows_in, sweep_rows
from ivx.patching.table import ROWS, Key
from ivx.stats.intervals import Array
from ivx.stats.metrics import find
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

ESTIMATED_SAMPLES = (1, 8)
"""Samples of an estimate, which only shades a cell: a few are enough. It is shown from the first, then from all."""
ESTIMATED_PLAYERS = 64
"""Most players of an estimate, which takes a pass per player: with more it would take as long as it saves."""


def compute(
    model: Model,
    request: InteractionsRequest,
    *,
    on_progress: Progress[Interactions] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Interactions:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    delta = request.patch == "delta"
    samples, receipt = prepare(model, request, more=("neutral",) if delta else ())
    players = players_of(model, request, samples.rows)
    sets, equals = sets_with_equals(request, players, samples, layers=model.layers)
    patches = played(request, sets, equals)
    finished = [ROWS.empty_table() if known is None else known]
    done = 0 if known is None else known.filter(pc.field("role") != "told").num_rows
    estimates: dict[str, dict[str, float]] = {}

    def result() -> Interactions:
        table = pa.concat_tables(finished)
        about = measured(receipt, table, began=began)
        return Interactions(
            request=request,
            table=table,
            samples=samples,
            players=players,
            sets=sets,
            equals=equals,
            layers=model.layers,
            receipt=about,
            estimates=estimates,
        )

    runs = prompts_of(request, samples)
    total = rows_in(samples, runs, patches)
    site = ",".join(request.sites)
    if on_progress is not None:
        shade = partial(_estimates, model, request, samples.rows, players, sets[2], beat)
        key = ("interactions", request, samples.rows[: ESTIMATED_SAMPLES[-1]])
        for shades in kept.refined(model, key, shade, rows=len(sets[2])):
            estimates = shades
            on_progress(result(), done, total)
    instructed, made = run_told(model, samples, beat=beat)
    receipt["how"] = str(made)
    finished = opening(instructed, known)

    def arrived(new: list[pa.Table], done: int, total: int) -> None:
        finished.extend(new)
        if on_progress is not None:
            on_progress(result(), done, total)

    if delta:
        receipt["how"] = "hooks: differences are added"
        add_rows(model, request, samples, players, patches, site, arrived, beat=beat)
    else:
        made |= sweep_rows(model, samples, runs, site, patches, arrived, known=known)
        receipt["how"] = str(made)
    return result()


def cost_of(model: Model, request: InteractionsRequest) -> Forecast | None:
    """What a request will cost; where differences are added, by hooks, that is not known."""
    if request.patch == "delta":
        return None
    _, samples = samples_of(model, request)
    players = players_of(model, request, samples.rows)
    sets, equals = sets_with_equals(request, players, samples, layers=model.layers)
    return sweeping.cost_of(model, samples, prompts_of(request, samples), played(request, sets, equals))


def prompts_of(request: InteractionsRequest, samples: Samples, _: str = "") -> tuple[Runs, ...]:
    """The prompts behind the rows, at every site."""
    return denoising(samples, lambda sample: _source(request, sample), request.controls)


def _source(request: InteractionsRequest, sample: Sample) -> Ids:
    """The source: the instructed prompt for `z` at the last position, as in effect maps; else what is told."""
    run_told = request.position == "last" and "z" in request.sites and not request.demonstrations
    return sample.instructed if run_told else instruction_of(request, sample)


def _estimates(
    model: Model,
    request: InteractionsRequest,
    rows: Sequence[Sample],
    players: Sequence[Player],
    pairs: dict[str, tuple[int, ...]],
    beat: Callable[[], None],
) -> Iterator[dict[str, dict[str, float]]]:
    """Mean estimated J of every pair, by metric, from more and more samples; of no pair where there are too many
    players, or no estimate is defined."""
    undefined = "resid_mid" in request.sites or request.patch == "delta"
    if undefined or len(players) > ESTIMATED_PLAYERS or model.stream is not None:
        yield {metric: {} for metric in ESTIMATED}
        return
    bent: dict[str, list[Array]] = {metric: [] for metric in ESTIMATED}
    for first, end in pairwise((0, *ESTIMATED_SAMPLES)):
        few = rows[first:end]
        if not few:
            return
        told = curvature(
            model,
            source=[_source(request, s) for s in few],
            target=[s.target for s in few],
            answer=[s.answer_tokens for s in few],
            contrast=[s.contrast_tokens for s in few],
            patches=[player.address for player in players],
            beat=beat,
        )
        columns = {name: logit.numpy() for name, logit in told._asdict().items()}
        found = {}
        for metric in ESTIMATED:
            bent[metric].append(find(metric).measure(columns))
            mean = shaded(bent[metric], axis=0)
            found[metric] = {text: float(mean[first, second]) for text, (first, second) in pairs.items()}
        yield found


def replay(
    model: Model, found: Interactions, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[Sequence[Key], Sequence[float], Sequence[float]]:
    """Compute some rows again, one at a time: by an address as every sweep, or by what is added."""
    if found.request.patch == "delta":
        return replay_added(model, found, rows=rows, seed=seed, beat=beat)
    return replay_rows(model, found, prompts=prompts_of, rows=rows, seed=seed, beat=beat)


STEPS: Steps[InteractionsRequest, Interactions] = Steps(
    compute=compute, replay=replay, prompts=prompts_of, cost=cost_of
)
