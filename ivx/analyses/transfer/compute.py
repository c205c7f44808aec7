"""Circuit transfer: one task's strongest heads kept, all others ablated, and another task's answer read.

Heads are ranked on one half of a task's samples, and every circuit is measured on the other half; no wording family
stands on both sides where a task has several. What the ablated heads write in the mean is a mean over all tasks: a
mean over one task's own prompts would still say which task it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ivx.analyses.base import Progress, Steps
from ivx.analyses.pathways.attribution import Batch, attribute
from ivx.analyses.pathways.circuits import mean_heads, of_heads
from ivx.analyses.pathways.slots import Alignment
from ivx.analyses.transfer.circuits import Alike, Circuit, Head, alike, like, mask, strongest
from ivx.analyses.transfer.request import TransferRequest
from ivx.analyses.transfer.result import ROWS, Transfer
from ivx.engine.linear.eap import STEPS as INTEGRATED
from ivx.engine.linear.eap import head_scores
from ivx.engine.linear.fidelity import prove
from ivx.engine.plan.forecast import Counted
from ivx.errors import TaskError
from ivx.models.finite import dtype_of
from ivx.models.model import Model
from ivx.patching.gate import FIELD
from ivx.patching.prepare import defined, following, receipt_of
from ivx.patching.spelling import spelling_of
from ivx.patching.table import Key, sampled
from ivx.stats.following import Following
from ivx.stats.intervals import Array
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build


class Asked(NamedTuple):
    """A task's samples: those that heads are found on, and those that circuits are measured on."""

    name: str
    first: tuple[Sample, ...]
    second: tuple[Sample, ...]


def compute(
    model: Model,
    request: TransferRequest,
    *,
    on_progress: Progress[Transfer] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Transfer:
    """Run a request on a loaded model. Circuits need all samples, so `known` is ignored."""
    began = time.perf_counter()
    if request.ranking == "pathways":
        prove(model)
    receipt = receipt_of(model, request, request.subject(model.collection, lambda: model.tokenizer))
    asked, warnings = _asked(model, request, beat)
    receipt |= {"how": "real model, heads ablated at every token", "samples": sum(len(one.second) for one in asked)}
    receipt["warnings"] = warnings
    table = ROWS.empty_table()
    circuits: tuple[Circuit, ...] = ()
    overlaps: tuple[Alike, ...] = ()

    def result() -> Transfer:
        about = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Transfer(
            request=request,
            table=table,
            tasks=tuple(one.name for one in asked),
            layers=model.layers,
            heads=model.heads,
            circuits=circuits,
            overlaps=overlaps,
            receipt=about,
        )

    def progress(done: int) -> None:
        if on_progress is not None:
            on_progress(result(), done, 2 * len(asked))

    means = mean_heads(model, [s for one in asked for s in (*one.first, *one.second)], beat=beat)
    scores = {}
    for k, one in enumerate(asked):
        scores[one.name] = [_scores(model, request, half, means, beat) for half in (one.first, one.second)]
        progress(k + 1)
    circuits = tuple(
        Circuit(name, *(strongest(half, request.heads) for half in halves)) for name, halves in scores.items()
    )
    overlaps = tuple(_overlaps(request, scores))
    for k, one in enumerate(asked):
        sets = _sets(model, result(), one.name)
        measure = of_heads(model, one.second, request.fill, seed=request.seed, beat=beat, means=means)
        assert measure is not None
        values = measure([mask(heads, model.layers, model.heads) for _, heads in sets])
        table = pa.concat_tables([table, _rows(one.name, [names for names, _ in sets], values)])
        progress(len(asked) + k + 1)
    return result()


def replay(
    model: Model, found: Transfer, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some rows again, one sample and one set of heads at a time.

    Returns:
        (kind, circuit and draw, task, sample) of each, and the logit difference as it is stored and as it is now.
    """
    asked = {one.name: one for one in _asked(model, found.request, beat)[0]}
    means = mean_heads(model, [s for one in asked.values() for s in (*one.first, *one.second)], beat=beat)
    names: list[Key] = []
    before, now = [], []
    for row in sampled(found.table, rows, seed=seed):
        beat()
        sets = dict(_sets(model, found, row["task"]))
        heads = sets[row["kind"], row["circuit"], row["draw"]]
        sample = asked[row["task"]].second[row["item"]]
        measure = of_heads(model, [sample], found.request.fill, seed=0, beat=beat, means=means)
        assert measure is not None
        names.append((row["kind"], f"{row['circuit']} {row['draw']}", row["task"], row["item"]))
        before.append(row["value"])
        now.append(float(measure([mask(heads, model.layers, model.heads)])[0, 0]))
    return names, before, now


Named = tuple[str, str, int]
"""Kind, circuit and draw of a set of heads."""


def _sets(model: Model, found: Transfer, task: str) -> list[tuple[Named, tuple[Head, ...]]]:
    """The sets that are kept on a task: all heads, none, every circuit, its own of the same half, and random ones."""
    every = tuple((layer, head) for layer in range(model.layers) for head in range(model.heads))
    sets: list[tuple[Named, tuple[Head, ...]]] = [(("whole", "", 0), every), (("nothing", "", 0), ())]
    for k, circuit in enumerate(found.circuits):
        sets.append((("kept", circuit.task, 0), circuit.found))
        if circuit.task == task:
            sets.append((("own", task, 0), circuit.other))
        drawn = like(circuit.found, model.heads, draws=found.request.draws, seed=found.request.seed + k)
        sets += [(("random", circuit.task, draw), one) for draw, one in enumerate(drawn)]
    return sets


def _asked(model: Model, request: TransferRequest, beat: Callable[[], None]) -> tuple[list[Asked], list[str]]:
    """Every task's samples whose logits are finite, and warnings about them: one that is not would be in the mean that
    all ablated heads write."""
    asked, warnings = [], []
    for pair in request.pairs(model.collection):
        n, seed = request.samples, request.seed
        spelling = spelling_of(model, pair, request.way, samples=n, seed=seed).spelling
        way = replace(request.way, spelling=spelling)
        made = build(pair, model.tokenizer, way=way, samples=n, seed=seed)
        kept = defined(model, [(row, row.instructed) for row in made.rows], beat=beat)
        rows = [row for row in made.rows if row.query in kept]
        if len(rows) < 4:
            raise TaskError(f"{pair.task.name} has {len(rows)} queries: 4 are needed, to find heads and to try them")
        first, second = _halves(rows, request.seed)
        asked.append(Asked(pair.task.name, *(tuple(rows[i] for i in half) for half in (first, second))))
        warnings += [f"{pair.task.name}: {warning}" for warning in made.warnings]
        if left := [row.query for row in made.rows if row.query not in kept]:
            warnings.append(
                f"{pair.task.name}: left out, their logits are not finite in {dtype_of(model)}: {', '.join(left)}"
            )
        if counted := following(model, rows).get(FIELD):
            said = Following(**counted).sentence(model.name, pair.task.name, shown="")
            warnings += [said] * bool(said)
    return asked, warnings


def _halves(rows: Sequence[Sample], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the samples of either half, with no wording family in both where there are several."""
    families = [row.instruction.family for row in rows]
    rng = np.random.default_rng(seed)
    halves: tuple[list[int], list[int]] = ([], [])
    if len(set(families)) > 1:
        for family in rng.permutation(sorted(set(families))):
            small = min(halves, key=len)
            small += [i for i, own in enumerate(families) if own == family]
    if min(map(len, halves)) < max(2, len(rows) // 4):
        order = rng.permutation(len(rows))
        halves = (order[::2].tolist(), order[1::2].tolist())
    one, two = (np.sort(np.array(half, dtype=np.intp)) for half in halves)
    return one, two


def _scores(
    model: Model, request: TransferRequest, rows: Sequence[Sample], means: Sequence[Any], beat: Callable[[], None]
) -> Array:
    """What each head is worth `[samples, layers, heads]`."""
    prompts = [row.instructed for row in rows]
    answer, contrast = [row.answer_id for row in rows], [row.contrast_id for row in rows]
    if request.ranking == "pathways":
        alignment = Alignment.of(rows, model.tokenizer, told=True)
        parts = attribute(model, Batch("here", prompts, answer, contrast, alignment), beat=lambda _: beat())
        return np.asarray(parts.by_slot["heads"].sum(-1))
    steps = INTEGRATED if request.ranking == "eap-ig" else 1
    return head_scores(model, prompts, answer=answer, contrast=contrast, fill=means, steps=steps, beat=beat)


def _overlaps(request: TransferRequest, scores: dict[str, list[Array]]) -> list[Alike]:
    names = list(scores)
    found = [alike((a, scores[a][0]), (a, scores[a][1]), request.heads, seed=request.seed) for a in names]
    for i, a in enumerate(names):
        for b in names[:i]:
            found.append(alike((a, scores[a][0]), (b, scores[b][0]), request.heads, seed=request.seed))
    return found


def _rows(task: str, sets: Sequence[Named], values: Array) -> pa.Table:
    count = values.shape[1]
    kind, circuit, draw = (np.repeat([one[k] for one in sets], count).tolist() for k in range(3))
    items = list(range(count)) * len(sets)
    columns = [kind, circuit, draw, [task] * len(items), items, values.ravel()]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, ROWS, strict=True)], schema=ROWS)


def cost_of(model: Model, request: TransferRequest) -> Counted:
    """How many prompts are run with most heads ablated."""
    tasks = len(request.pairs(model.collection))
    return Counted(
        tasks * (3 + tasks * (1 + request.draws)) * (request.samples // 2), "prompts to run with heads ablated"
    )


STEPS: Steps[TransferRequest, Transfer] = Steps(
    compute=compute, replay=replay, replayed="logit difference", cost=cost_of
)
