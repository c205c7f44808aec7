"""Scan: from which of the instruction's tokens its vector must be taken, layer × source token.

What can be read at a token need not be what acts. So the state of every token is put at one position of the bare
prompt, beside that of another task's instruction at the like token, and two controls of its own: the state of the token
fed alone (`identity`), which holds what it is and nothing that it gathered, and that of the task phrase's last word fed
alone (`aggregation`), which holds what the word says without its sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa

from ivx.analyses.base import Progress, Steps
from ivx.analyses.effects.compute import filled
from ivx.analyses.effects.request import ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.engine.plan.forecast import Forecast, total_of
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import sweeping
from ivx.patching.part import within
from ivx.patching.positions import Column, source_columns, source_places
from ivx.patching.prepare import prepare
from ivx.patching.replay import replay
from ivx.patching.roles import WORD, Runs, controls_there
from ivx.patching.table import ROWS
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

LACKS = {"task": "task of other queries beside them", "aggregation": "marked task phrase"}


def compute(
    model: Model,
    request: ScanRequest,
    *,
    on_progress: Progress[Effects] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Effects:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    found = _empty(model, request)
    runs = {site: prompts_of(request, found.samples, site) for site in request.sites}
    return filled(model, found, runs, on_progress=on_progress, known=known, beat=beat)


def _empty(model: Model, request: ScanRequest) -> Effects:
    """The result before any row."""
    samples, receipt = prepare(model, request)
    within("layers", request.layers, model.layers)
    for name in sorted({*request.controls} - {*controls_there(request.controls, samples)}):
        receipt["warnings"].append(f"there is no control {name}: these wordings have no {LACKS[name]}")
    maps = dict.fromkeys(request.sites, columns_of(request, samples))
    return Effects(
        request=request, table=ROWS.empty_table(), samples=samples, maps=maps, layers=model.layers, receipt=receipt
    )


def columns_of(request: ScanRequest, samples: Samples) -> tuple[Column, ...]:
    """The source tokens that all wordings have, those of the control task's too where it is asked for."""
    wordings = (*samples.rows, *(samples.control if "task" in request.controls else ()))
    return source_columns(wordings, request.source_token)


def prompts_of(request: ScanRequest, samples: Samples, _: str = "") -> tuple[Runs, ...]:
    """The prompts behind the rows, at every site."""
    rows = samples.rows
    targets, references = [s.target for s in rows], [s.instructed for s in rows]

    def whole(role: str, told: tuple[Sample, ...]) -> Runs:
        return Runs(role, [s.source for s in told], targets, references, [({}, source_places(s)) for s in told])

    def alone(role: str, parts: list[tuple[int, ...]], name: str, *, takes: str = "") -> Runs:
        """Parts of each instruction fed alone, behind the leading special tokens; what is taken is their last state."""
        sources = [s.source[: s.first] + part for s, part in zip(rows, parts, strict=True)]
        return Runs(role, sources, targets, references, [({}, {name: -1})] * len(rows), takes)

    found = [whole("effect", rows)]
    for name in controls_there(request.controls, samples):
        if name == "task":
            found.append(whole("control", samples.control))
        elif name == "random":
            found.append(whole("random", rows))
        elif name == "identity":
            for column in columns_of(request, samples):
                here = str(column.position)
                found.append(alone(name, [(s.source[_index(s, column)],) for s in rows], here, takes=here))
        else:
            found.append(alone(name, [_last_word(s) for s in rows], WORD))
    return tuple(found)


def _index(sample: Sample, column: Column) -> int:
    """A column's token in one instruction, counted from the start or the end."""
    at = column.position if isinstance(column.position, int) else source_places(sample)[column.position]
    if not -len(sample.source) <= at < len(sample.source):
        raise IvxError(f"source token {at}: {sample.instruction.text!r} has {len(sample.source)} tokens")
    return at


def _last_word(sample: Sample) -> tuple[int, ...]:
    assert sample.word is not None and sample.keyword is not None
    return sample.source[sample.word : sample.keyword + 1]


def cost_of(model: Model, request: ScanRequest) -> Forecast:
    """What a request will cost."""
    empty = _empty(model, request)
    runs = prompts_of(request, empty.samples)
    places = [[patch for _, _, patch in empty.places(site)] for site in request.sites]
    return total_of([sweeping.cost_of(model, empty.samples, runs, patches) for patches in places])


STEPS: Steps[ScanRequest, Effects] = Steps(
    compute=compute, replay=partial(replay, prompts=prompts_of), prompts=prompts_of, cost=cost_of
)
