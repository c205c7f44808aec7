"""Behaviour: what a model writes told and untold, in several ways of asking, before anything is patched.

A map of what an instruction does says nothing where the instruction is not followed, and a model that does not follow
in one form of prompt may in another. So this comes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import torch

from ivx.analyses.base import Progress, Steps
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.behaviour.result import KEY, TABLE, Asking, Behaviour
from ivx.engine.hooks.generate import Written, ends, generate
from ivx.engine.plan.forecast import Forecast, of_texts, total_of
from ivx.engine.sweep import sweep
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching.prepare import receipt_of
from ivx.patching.spelling import spelling_of
from ivx.patching.table import Key, sampled
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples, build
from ivx.tasks.spelling import AS_GIVEN, SUM
from ivx.tasks.task import Pair
from ivx.tasks.written import begins, forms, option_of

LONGEST = {"prompt": 1_000, "wrote": 2_000}
"""Characters that are kept: of a prompt the last, of a text the first."""
Texts = dict[tuple[int, ...], Written]


def compute(
    model: Model,
    request: BehaviourRequest,
    *,
    on_progress: Progress[Behaviour] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Behaviour:
    """Run a request on a loaded model; texts that are `known` from an earlier start are not written again.

    Raises:
        TaskError: no such task. IvxError: no task can be asked in any of the ways.
    """
    began = time.perf_counter()
    pairs = catalogue.pairs(request.tasks, collection=model.collection)
    receipt = receipt_of(model, request, request.subject(model.collection, lambda: model.tokenizer))
    receipt |= {"how": "hooks", "samples": request.samples, "warnings": []}
    finished = [TABLE.empty_table() if known is None else known]
    there = {tuple(row[name] for name in KEY) for row in finished[0].select(list(KEY)).to_pylist()}
    asked: list[Asking] = []

    def result() -> Behaviour:
        table = pa.concat_tables(finished)
        about = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        about["warnings"] = _warnings(asked)
        pending = [Asking(pair.task.name, pair.contrast.name, way, 0, "") for pair in pairs for way in request.every]
        every = (*asked, *pending[len(asked) :])
        return Behaviour(request=request, table=table, asked=every, layers=model.layers, receipt=about)

    total = len(pairs) * len(request.every)

    def progress() -> None:
        if on_progress is not None:
            on_progress(result(), len(asked), total)

    progress()
    for pair in pairs:
        written: Texts = {}  # told, several ways are one prompt
        for way in request.every:
            beat()
            asking = Asking(pair.task.name, pair.contrast.name, way, 0, "")
            try:
                asking, samples = _asked(model, request, pair, way)
                rows = []
                for told in (True, False):
                    if not _whole(there, asking, told):
                        rows += _rows(model, request, pair, asking, samples, told, written, beat)
            except IvxError as error:
                asked.append(replace(asking, samples=0, refused=str(error)))
            else:
                asked.append(asking)
                new = [row for row in rows if tuple(row[name] for name in KEY) not in there]
                finished.append(pa.Table.from_pylist(new, schema=TABLE))
            progress()
    if not any(asking.samples for asking in asked):
        raise IvxError(asked[0].refused)
    return result()


def cost_of(model: Model, request: BehaviourRequest) -> Forecast | None:
    """What a request will cost at most, spelling tried apart; None where nothing can be asked."""
    costs = []
    for pair in catalogue.pairs(request.tasks, collection=model.collection):
        prompts: dict[tuple[int, ...], None] = {}
        rows = 0
        for way in request.every:
            try:
                found = build(
                    pair, model.tokenizer, way=request.way(way), samples=request.samples, seed=request.seed
                ).rows
            except IvxError:  # refused in this way, and named in the result
                continue
            rows += 2 * len(found)
            prompts |= dict.fromkeys(ids for sample in found for ids in (sample.instructed, sample.target))
        if prompts:
            costs.append(of_texts(model, list(prompts), tokens=request.tokens, rows=rows))
    return total_of(costs) if costs else None


def replay(
    model: Model, found: Behaviour, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Write some texts again in the slow way: each by itself, every token from a whole pass without a cache.

    Returns:
        (told or untold, way, task, sample) of each; its number of characters, and how many of them are the same again.
    """
    request = found.request
    pairs = {pair.task.name: pair for pair in catalogue.pairs(request.tasks, collection=model.collection)}
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(found.table, rows, seed=seed):
        beat()
        pair = pairs[row["task"]]
        _, samples = _asked(model, request, pair, row["way"])
        sample = samples.rows[row["sample"]]
        one = _slowly(model, sample.instructed if row["told"] else sample.target, tokens=request.tokens, beat=beat)
        again = _text(model, one)
        same = next((i for i, (a, b) in enumerate(zip(row["wrote"], again, strict=False)) if a != b), None)
        shorter, longer = sorted((len(row["wrote"]), len(again)))
        names.append(("told" if row["told"] else "untold", row["way"], row["task"], row["sample"]))
        before.append(float(longer))
        now.append(float(shorter if same is None else same))
    return names, before, now


def _asked(model: Model, request: BehaviourRequest, pair: Pair, name: str) -> tuple[Asking, Samples]:
    """A task in a way of asking, and its samples."""
    way = request.way(name)
    spelling = spelling_of(model, pair, way, samples=request.samples, seed=request.seed)
    way = replace(way, spelling=spelling.spelling)
    samples = build(pair, model.tokenizer, way=way, samples=request.samples, seed=request.seed)
    notes = (*samples.warnings, *filter(None, [spelling.sentence]))
    asking = Asking(pair.task.name, pair.contrast.name, name, len(samples.rows), spelling.spelling, notes)
    return asking, samples


def _whole(there: set[tuple[Any, ...]], asking: Asking, told: bool) -> bool:
    return all((asking.task, asking.way, told, k) in there for k in range(asking.samples))


def _rows(
    model: Model,
    request: BehaviourRequest,
    pair: Pair,
    asking: Asking,
    samples: Samples,
    told: bool,
    written: Texts,
    beat: Callable[[], None],
) -> list[dict[str, Any]]:
    """The rows of one cell's told or untold runs; texts after prompts that are in `written` are not written again."""
    prompts = [sample.instructed if told else sample.target for sample in samples.rows]
    new = [ids for ids in dict.fromkeys(prompts) if ids not in written]
    if new:
        written.update(zip(new, generate(model, new, tokens=request.tokens, beat=beat), strict=True))
    read = sweep(
        model,
        source=prompts,
        target=prompts,
        answer=[sample.answer_tokens for sample in samples.rows],
        contrast=[sample.contrast_tokens for sample in samples.rows],
        patches=[],
        on_rows=lambda *_: beat(),
    )
    numbers = {name: read[name].to_pylist() for name in ("logit", "contrast", "rank")}
    found = []
    for k, (sample, ids) in enumerate(zip(samples.rows, prompts, strict=True)):
        text, ended = _text(model, written[ids]), written[ids].ended
        found.append(
            {
                "task": asking.task,
                "way": asking.way,
                "told": told,
                "sample": k,
                "query": sample.query,
                "answer": sample.answer,
                "contrast": sample.contrast,
                "prompt": _decoded(model, ids)[-LONGEST["prompt"] :],
                "wrote": text,
                "ended": ended,
                **_judged(text, sample, pair, _case(pair, asking.spelling), ended=ended),
                "preferred": numbers["logit"][k] > numbers["contrast"][k],
                "rank": numbers["rank"][k],
            }
        )
    return found


def _case(pair: Pair, spelling: str) -> str:
    """The spelling in whose case an answer may be written: where case is what it is about, in its own alone."""
    return AS_GIVEN[0] if pair.cased and spelling == SUM else spelling


def _judged(text: str, sample: Sample, pair: Pair, spelling: str, *, ended: bool) -> dict[str, Any]:
    other = (sample.query, sample.contrast)
    own = forms(sample.answer, spelling, other=other)
    return {
        "followed": any(begins(text, form, ended=ended) for form in own),
        "option": option_of(text, pair.task.options, spelling, other=other, ended=ended),
    }


def _text(model: Model, one: Written) -> str:
    return _decoded(model, one.ids)[: LONGEST["wrote"]]


def _decoded(model: Model, ids: Sequence[int]) -> str:
    return str(model.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def _slowly(model: Model, prompt: Sequence[int], *, tokens: int, beat: Callable[[], None]) -> Written:
    """Greedy decoding without a cache."""
    stop, ids, new = ends(model), list(prompt), list[int]()
    for _ in range(tokens):
        beat()
        with torch.inference_mode():
            logits = model.hf(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
        best = int(logits.argmax())
        if best in stop:
            return Written(tuple(new), (), ended=True)
        new.append(best)
        ids.append(best)
    return Written(tuple(new), (), ended=False)


def _warnings(asked: Sequence[Asking]) -> list[str]:
    """One sentence for each reason why tasks could not be asked."""
    found = []
    for reason in dict.fromkeys(asking.refused for asking in asked if asking.refused):
        left = [f"{asking.task} by {asking.way}" for asking in asked if asking.refused == reason]
        more = f" and {len(left) - 2} more" * (len(left) > 2)
        found.append(f"not asked: {', '.join(left[:2])}{more}: {reason}")
    return found[:50]


STEPS: Steps[BehaviourRequest, Behaviour] = Steps(
    compute=compute, replay=replay, replayed="characters of text", cost=cost_of
)
