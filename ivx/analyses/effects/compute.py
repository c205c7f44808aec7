"""Effects: which states carry the instruction, by patching them into runs without it.

One request becomes two kinds of maps. Residual, `attn_out` and `mlp_out` sites take the state of the instruction's
source token and write it at each position of the bare prompt (layer × position). `z` takes each head's output at the
instructed prompt's answer position and writes it at the bare prompt's (layer × head). Other directions disturb the
instructed run: by the bare run's state of the same token, by another sample's, or by ablation. Every sample is measured
again with each control (`ivx.patching.roles`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.effects.maps import map_of
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.effects.shared import shared
from ivx.engine.linear.estimate import estimate_groups
from ivx.engine.plan.forecast import Forecast, total_of
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import kept, sweeping
from ivx.patching.part import within
from ivx.patching.prepare import measured, opening, prepare, run_told
from ivx.patching.replay import replay
from ivx.patching.roles import Runs, denoising, disturbing
from ivx.patching.sweeping import coarse_to_fine, instruction_of, rows_in, sweep_rows
from ivx.patching.table import ROWS
from ivx.stats.intervals import Array
from ivx.stats.metrics import find
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

ESTIMATED = ("contrast", "logit")
"""Metrics whose cells have an estimate until they are computed."""
ESTIMATED_SAMPLES = (4, 16)
"""Samples of an estimate, which only shades a cell: a few are enough. It is shown from the first, then from all."""
Shade = Callable[[dict[str, list[str]], Callable[[], None]], Iterator[dict[str, dict[str, float]]]]
"""Takes the patches of each site, and a beat; yields the estimate of each, by metric, from more and more samples."""


def compute(
    model: Model,
    request: EffectsRequest,
    *,
    on_progress: Progress[Effects] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Effects:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    found = _empty(model, request)
    samples = found.samples
    runs = {site: prompts_of(request, samples, site) for site in request.sites}
    shade = partial(_estimates, model, request, samples.rows) if request.direction == "denoise" else None
    return filled(model, found, runs, shade, on_progress=on_progress, known=known, beat=beat)


def _empty(model: Model, request: EffectsRequest) -> Effects:
    """The result before any row."""
    samples, receipt = prepare(model, request)
    within("layers", request.layers, model.layers)
    if request.window > model.layers:
        raise IvxError(f"window is {request.window}: this model has {model.layers} layers, so choose that at most")
    maps = {site: map_of(site, model, request, samples) for site in request.sites}
    return Effects(
        request=request, table=ROWS.empty_table(), samples=samples, maps=maps, layers=model.layers, receipt=receipt
    )


def filled(
    model: Model,
    empty: Effects,
    runs: dict[str, tuple[Runs, ...]],
    shade: Shade | None = None,
    *,
    on_progress: Progress[Effects] | None,
    known: pa.Table | None,
    beat: Callable[[], None],
) -> Effects:
    """A result with its rows, which `runs` make site by site; `shade` estimates its cells until they come."""
    began = time.perf_counter()
    samples = empty.samples
    finished = [empty.table if known is None else known]
    patches = {site: [patch for _, _, patch in empty.places(site)] for site in empty.maps}
    estimates: dict[str, dict[str, float]] = {}
    how: dict[str, str] = {}
    total = sum(rows_in(samples, runs[site], found) for site, found in patches.items())
    done = 0 if known is None else known.filter(pc.field("role") != "told").num_rows

    def result() -> Effects:
        table = pa.concat_tables(finished)
        receipt = measured({**empty.receipt, **how}, table, began=began)
        return replace(empty, table=table, receipt=receipt, estimates=estimates)

    if on_progress is not None:
        for shades in [{}] if shade is None else shade(patches, beat):
            estimates = shades
            on_progress(result(), done, total)
        if shade is not None:
            # What is likely to matter is computed first: a sweep of several passes takes its patches in this order.
            order = estimates["contrast"]
            patches = {site: sorted(found, key=lambda p: -abs(order[p])) for site, found in patches.items()}
    instructed, made = run_told(model, samples, beat=beat)
    how["how"] = str(made)
    finished = opening(instructed, known)
    parts = [
        (k, site, part)
        for site, addresses in patches.items()
        for k, part in enumerate(coarse_to_fine(addresses, layers=empty.layers))
    ]
    for _, site, addresses in sorted(parts, key=lambda part: part[0]):  # all maps coarse, then all of them fine

        def arrived(new: list[pa.Table], *_: int) -> None:
            nonlocal done
            done += sum(table.num_rows for table in new)
            finished.extend(new)
            if on_progress is not None:
                on_progress(result(), done, total)

        made |= sweep_rows(model, samples, runs[site], site, addresses, arrived, known=pa.concat_tables(finished))
        how["how"] = str(made)
    return result()


def cost_of(model: Model, request: EffectsRequest) -> Forecast:
    """What a request will cost."""
    empty = _empty(model, request)
    return total_of(
        [
            sweeping.cost_of(
                model,
                empty.samples,
                prompts_of(request, empty.samples, site),
                [patch for _, _, patch in empty.places(site)],
            )
            for site in request.sites
        ]
    )


def prompts_of(request: EffectsRequest, samples: Samples, site: str) -> tuple[Runs, ...]:
    """The prompts behind the rows of one site."""
    if request.direction == "denoise":
        return denoising(samples, partial(_source, site, request), request.controls)
    return disturbing(samples, request.direction, request.controls)


def _estimates(
    model: Model,
    request: EffectsRequest,
    rows: Sequence[Sample],
    patches: dict[str, list[str]],
    beat: Callable[[], None],
) -> Iterator[dict[str, dict[str, float]]]:
    """Mean estimated effect of every address, by metric: what fills the maps until the exact cells come."""
    key = ("effects", request, rows[: ESTIMATED_SAMPLES[-1]])
    count = sum(map(len, patches.values()))
    return kept.refined(model, key, partial(_estimated, model, request, rows, patches, beat), rows=count)


def _estimated(
    model: Model,
    request: EffectsRequest,
    rows: Sequence[Sample],
    patches: dict[str, list[str]],
    beat: Callable[[], None],
) -> Iterator[dict[str, dict[str, float]]]:
    names = [address for addresses in patches.values() for address in addresses]
    moved: dict[str, list[Array]] = {metric: [] for metric in ESTIMATED}
    # Prompts of one length go through the model together: the first samples are of the commonest.
    lengths = Counter(len(s.target) for s in rows[: ESTIMATED_SAMPLES[-1]])
    alike = sorted(rows[: ESTIMATED_SAMPLES[-1]], key=lambda s: -lengths[len(s.target)])
    for first, end in pairwise((0, *ESTIMATED_SAMPLES)):
        few = alike[first:end]
        if not few:
            return
        table = estimate_groups(
            model,
            [([_source(site, request, s) for s in few], addresses) for site, addresses in patches.items()],
            target=[s.target for s in few],
            answer=[s.answer_tokens for s in few],
            contrast=[s.contrast_tokens for s in few],
            beat=beat,
        )
        columns = {name: table[name].to_numpy().reshape(-1, len(few)) for name in ("logit", "contrast")}
        for metric in ESTIMATED:
            level = find(metric).measure(columns)
            moved[metric].append(level[1:] - level[0])
        yield {metric: dict(zip(names, shaded(moved[metric], axis=1).tolist(), strict=True)) for metric in ESTIMATED}


def shaded(estimates: Sequence[Array], *, axis: int) -> Array:
    """The mean over the samples of several estimates; 0 where it is not finite: a shade, no result."""
    return np.nan_to_num(np.concatenate(estimates, axis=axis).mean(axis=axis), posinf=0.0, neginf=0.0)


def _source(site: str, request: EffectsRequest, sample: Sample) -> Sequence[int]:
    # Behind demonstrations the told run holds the query's own answer; their source run, a dummy's.
    whole = site == "z" and not request.demonstrations
    return sample.instructed if whole else instruction_of(request, sample)


def shared_of(model: Model, request: EffectsRequest, small: Effects) -> pa.Table | None:
    """The rows that a request has in common with a smaller result; None where means over its samples are patched."""
    asked = small.request
    if not isinstance(asked, EffectsRequest) or {request.direction, asked.direction} != {"denoise"}:
        return None
    large = _empty(model, request)
    prompts = {site: prompts_of(asked, small.samples, site) for site in asked.sites}
    return shared(small, large, prompts, {site: prompts_of(request, large.samples, site) for site in request.sites})


STEPS: Steps[EffectsRequest, Effects] = Steps(
    compute=compute,
    replay=partial(replay, prompts=prompts_of),
    prompts=prompts_of,
    cost=cost_of,
    shared=shared_of,
)
