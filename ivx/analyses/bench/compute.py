"""The vector bench: put an instruction's mean vector over its wordings into a run, and see what the model writes.

The vector of a layer is the mean of the stream at T_inst over all wordings of a task. It is added to states of the
bare prompt (h + αv) or patched over them (h + α(v − h)), at one layer. Beside it go another task's vector, and one of
equal norm drawn by chance for each prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from ivx.analyses.base import Progress, Steps
from ivx.analyses.bench.request import BenchRequest
from ivx.analyses.bench.result import (
    CONTROL,
    FREE,
    LENGTHS,
    MOST_TEXTS,
    NONE,
    QUERIES,
    RANDOM,
    ROWS,
    STRENGTHS,
    VECTOR,
    WRITTEN,
    Bench,
    BenchText,
)
from ivx.analyses.lens.result import MOST
from ivx.engine.address import STREAM, Patch, check
from ivx.engine.hooks.capture import capture
from ivx.engine.hooks.generate import Push, Written, generate
from ivx.engine.plan.forecast import Forecast, of_texts, total_of
from ivx.errors import IvxError, TaskError
from ivx.models.model import Model
from ivx.patching.prepare import following, receipt_of
from ivx.patching.table import Key, sampled
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.samples import build
from ivx.tasks.task import Task

SHOWN = 6
"""How many queries, and how many free texts, are shown with their continuations."""

_means: WeakKeyDictionary[nn.Module, dict[tuple[str, str, int], np.ndarray]] = WeakKeyDictionary()
"""Mean vectors `[layers, width]` of a model in memory, by collection, task and number of wordings."""


class _Bench:
    """One task on one model: its prompts, what is expected of each, and its vectors at one layer."""

    def __init__(self, model: Model, request: BenchRequest, *, beat: Callable[[], None]) -> None:
        layer, texts = request.layer, request.texts
        check(Patch(STREAM, layer, 0), layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
        if len(texts) > MOST_TEXTS:
            raise IvxError(f"{len(texts)} free texts: give at most {MOST_TEXTS}")
        self.model, self.layer, self.way, self.beat = model, layer, request.way, beat
        self.positions = None if request.place == "every" else (Encoder(model.tokenizer).leading,)
        self.pair = catalogue.find(request.task, collection=model.collection)
        encoder = Encoder(model.tokenizer)
        self.rows = rows = build(self.pair, model.tokenizer, samples=request.samples, seed=request.seed).rows
        free = [encoder.free(text, chat=False, what=f"free text {k + 1}", most=MOST) for k, text in enumerate(texts)]
        self.shown = [row.query for row in rows] + list(texts)
        told = self.pair.task
        self.asked = [
            told.template.target(field=told.field_of(query), query=query, form="prompt")
            for query in self.shown[: len(rows)]
        ]
        self.asked += texts
        self.prompts = [list(row.target) for row in rows] + [list(ids) for ids in free]
        self.on = [QUERIES] * len(rows) + [FREE] * len(free)
        self.expected = [row.answer for row in rows] + [""] * len(free)
        self.goals = [[(row.answer_id,)] for row in rows] + [_answers(encoder, text, self.pair.task) for text in texts]
        self.vectors = {VECTOR: _mean(model, self.pair.task, beat)[layer]}
        if self.pair.control is not None:
            self.vectors[CONTROL] = _mean(model, self.pair.control, beat)[layer]

    def written(
        self, asked: Sequence[tuple[str, float]], prompts: Sequence[int], *, tokens: int
    ) -> list[list[Written]]:
        """The texts written after these prompts for each (role, strength); strength 0 changes nothing."""
        if not prompts:
            return [[] for _ in asked]
        vectors = torch.cat([torch.stack([self._vector(role, k) for k in prompts]) for role, _ in asked])
        strengths = [strength for _, strength in asked for _ in prompts]
        push = Push(STREAM, self.layer, vectors, strengths, self.positions, self.way)
        every = [self.prompts[k] for _ in asked for k in prompts]
        found = generate(self.model, every, tokens=tokens, pushes=[push], beat=self.beat)
        n = len(prompts)
        return [list(found[i * n : (i + 1) * n]) for i in range(len(asked))]

    def _vector(self, role: str, prompt: int) -> Tensor:
        own = self.vectors[VECTOR]
        if role == RANDOM:
            drawn = np.random.default_rng((self.layer, prompt)).standard_normal(len(own))
            return torch.tensor(drawn * np.linalg.norm(own) / np.linalg.norm(drawn), dtype=torch.float32)
        return torch.tensor(self.vectors.get(role, own), dtype=torch.float32)

    def followed(self, prompt: int, ids: Sequence[int]) -> bool:
        """Whether a written text begins with the prompt's answer; after free text, whether any answer stands in it."""
        starts = range(len(ids)) if self.on[prompt] == FREE else (0,)
        return any(tuple(ids[i : i + len(goal)]) == goal for goal in self.goals[prompt] for i in starts)

    def of(self, on: str) -> list[int]:
        """Indices of the prompts that are `queries`, or `free` text."""
        return [k for k, place in enumerate(self.on) if place == on]

    @property
    def roles(self) -> list[str]:
        """The roles of the vectors, the random one last."""
        return [*self.vectors, RANDOM]


def compute(
    model: Model,
    request: BenchRequest,
    *,
    on_progress: Progress[Bench] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Bench:
    """How often the first written token is the instruction's answer, by strength, with both controls.

    On free texts any of the task's answers counts, anywhere in the next 12 tokens. A bench is always run as a whole:
    `known` is ignored.

    Raises:
        TaskError: no such task; a text that is empty or too long. AddressError: no such layer.
    """
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    receipt = receipt_of(model, request, request.subject(model.collection, lambda: model.tokenizer)) | {
        "how": "hooks",
        "warnings": [],
    }
    norms: dict[str, float] = {}
    wordings, total = 0, 0

    def result() -> Bench:
        about = receipt | {"rows": len(rows), "seconds": round(time.perf_counter() - began, 3)}
        table = pa.Table.from_pylist(rows, schema=ROWS)
        return Bench(request=request, table=table, layers=model.layers, receipt=about, wordings=wordings, norms=norms)

    nothing = result()

    def alive() -> None:
        beat()
        if on_progress is not None:
            on_progress(nothing, 0, total)

    run = _Bench(model, request, beat=alive)
    wordings = len(run.pair.task.instructions)
    receipt |= {"control": run.pair.control.name if run.pair.control else None, "samples": run.on.count(QUERIES)}
    receipt |= following(model, run.rows)
    asked = [(NONE, 0.0)] + [(role, strength) for role in run.roles for strength in STRENGTHS if strength > 0]
    total = len(asked) * len(run.prompts)
    decode = model.tokenizer.decode
    for on in (QUERIES, FREE):
        mine = run.of(on)
        for (role, strength), texts in zip(asked, run.written(asked, mine, tokens=LENGTHS[on]), strict=True):
            for sample, (k, one) in enumerate(zip(mine, texts, strict=True)):
                rows.append(
                    {
                        "on": on,
                        "role": role,
                        "strength": strength,
                        "sample": sample,
                        "prompt": run.asked[k],
                        "expected": run.expected[k],
                        "wrote": decode(list(one.ids)).strip(),
                        "followed": run.followed(k, one.ids),
                    }
                )
    at = [0 if run.positions is None else run.positions[0]] * len(run.prompts)
    met = capture(model, run.prompts, sites=(STREAM,), positions=at, beat=alive).states(STREAM, request.layer)
    norms = {role: float(np.linalg.norm(vector)) for role, vector in run.vectors.items()}
    norms["states"] = float(np.linalg.norm(met, axis=1).mean())
    found = result()
    if on_progress is not None:
        on_progress(found, total, total)
    return found


def replay(
    model: Model, found: Bench, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some rows again, each prompt by itself.

    Returns:
        (role, queries or free, strength, sample) of each, and whether it followed, 1 or 0, as stored and now.
    """
    run = _Bench(model, found.request, beat=beat)
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(found.table, rows, seed=seed):
        beat()
        k = run.of(row["on"])[row["sample"]]
        ((one,),) = run.written([(row["role"], row["strength"])], [k], tokens=LENGTHS[row["on"]])
        names.append((row["role"], row["on"], f"{row['strength']:g}", row["sample"]))
        before.append(float(row["followed"]))
        now.append(float(run.followed(k, one.ids)))
    return names, before, now


def bench_texts(
    model: Model,
    request: BenchRequest,
    *,
    strength: float,
    tokens: int = WRITTEN,
    beat: Callable[[], None] = lambda: None,
) -> tuple[BenchText, ...]:
    """What the model writes after the first queries and free texts, at one strength and without a vector."""
    run = _Bench(model, request, beat=beat)
    asked = [(NONE, 0.0)] + [(role, strength) for role in run.vectors]
    shown = [k for on in (QUERIES, FREE) for k in run.of(on)[:SHOWN]]
    decode = model.tokenizer.decode
    said = [[decode(list(one.ids)).strip() for one in row] for row in run.written(asked, shown, tokens=tokens)]
    without, moved, control = said if len(said) == 3 else (*said, [""] * len(shown))
    return tuple(
        BenchText(run.on[k], run.shown[k], run.expected[k], *texts)
        for k, *texts in zip(shown, without, moved, control, strict=True)
    )


def _mean(model: Model, task: Task, beat: Callable[[], None]) -> np.ndarray:
    """The mean residual stream at T_inst over all wordings: `[layers, width]`."""
    known = _means.setdefault(model.hf, {})
    key = (task.collection, task.name, len(task.instructions))
    if key not in known:
        encoder = Encoder(model.tokenizer)
        prompts = [encoder.ids(instruction.text) for instruction in task.instructions]
        known[key] = capture(model, prompts, sites=(STREAM,), beat=beat).sites[STREAM].mean(axis=1)
    return known[key]


def _answers(encoder: Encoder, text: str, task: Task) -> list[tuple[int, ...]]:
    """The tokens of each of the task's answers, as they would follow a text."""
    found = []
    for option in task.options:
        try:
            found.append(encoder.following(text, option))
        except TaskError:  # this one merges with the end of the text, so no tokens of its own could show it
            continue
    return found


def cost_of(model: Model, request: BenchRequest) -> Forecast:
    """What a request will cost at most: a text after every prompt for each vector and strength, and one without."""
    run = _Bench(model, request, beat=lambda: None)
    asked = 1 + len(run.roles) * sum(strength > 0 for strength in STRENGTHS)
    costs = []
    for on in (QUERIES, FREE):
        prompts = [run.prompts[k] for k in run.of(on)] * asked
        if prompts:
            costs.append(of_texts(model, prompts, tokens=LENGTHS[on], rows=len(prompts)))
    return total_of(costs)


STEPS: Steps[BenchRequest, Bench] = Steps(compute=compute, replay=replay, cost=cost_of, replayed="followed")
