"""The vector bench: an instruction's mean vector over its wordings, put into a run at some strength, and what follows.

The vector of a layer is the mean of the stream at T_inst over all wordings of a task. It is added to states of the
bare prompt (h + αv) or patched over them (h + α(v − h)), at one layer. Beside it go another task's vector, and one of
equal norm drawn by chance for each prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from ivx.analyses.bench.result import (
    CONTROL,
    FREE,
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
from ivx.engine.address import Patch, check
from ivx.engine.hooks.capture import capture
from ivx.engine.hooks.generate import Push, Written, generate
from ivx.errors import IvxError, TaskError
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.tasks import catalogue
from ivx.tasks.samples import Encoder, build
from ivx.tasks.task import Task

SITE = "resid_post"
SHOWN = 6
"""Queries, and free texts, that are written out."""

_means: WeakKeyDictionary[nn.Module, dict[tuple[str, str, int], np.ndarray]] = WeakKeyDictionary()
"""Mean vectors `[layers, width]` of a model in memory, by collection, task and number of wordings."""


class _Bench:
    """One task on one model: its prompts, what is expected of each, and its vectors at one layer."""

    def __init__(
        self,
        model: Model,
        task: str,
        *,
        layer: int,
        place: str,
        way: str,
        texts: Sequence[str],
        samples: int,
        seed: int,
        beat: Callable[[], None],
    ) -> None:
        check(Patch(SITE, layer, 0), layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
        if len(texts) > MOST_TEXTS:
            raise IvxError(f"{len(texts)} free texts: give at most {MOST_TEXTS}")
        self.model, self.layer, self.way, self.beat = model, layer, way, beat
        self.positions = None if place == "every" else (Encoder(model.tokenizer).leading,)
        self.pair = catalogue.find(task, collection=model.collection)
        encoder = Encoder(model.tokenizer)
        rows = build(self.pair, model.tokenizer, samples=samples, seed=seed).rows
        free = [encoder.free(text, chat=False, what=f"free text {k + 1}", most=MOST) for k, text in enumerate(texts)]
        self.shown = [row.query for row in rows] + list(texts)
        told = self.pair.task
        self.asked = [told.template.target(field=told.field, query=row.query, form="prompt") for row in rows]
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
        """What is written after these prompts in each (role, strength); strength 0 moves nothing."""
        if not prompts:
            return [[] for _ in asked]
        vectors = torch.cat([torch.stack([self._vector(role, k) for k in prompts]) for role, _ in asked])
        strengths = [strength for _, strength in asked for _ in prompts]
        push = Push(SITE, self.layer, vectors, strengths, self.positions, self.way)
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

    @property
    def roles(self) -> list[str]:
        """The vectors there are, and chance."""
        return [*self.vectors, RANDOM]


def bench(
    model: Model,
    task: str,
    *,
    layer: int,
    place: str = "first",
    way: str = "add",
    texts: Sequence[str] = (),
    samples: int = 40,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    beat: Callable[[], None] = lambda: None,
) -> Bench:
    """How often the first written token is the instruction's answer, by strength, with both controls.

    Args:
        layer: the vector is read and put at its output (`resid_post`).
        place: `first` token or `every` token, those that are written too.
        way: `add` or `patch`.
        texts: free prompts; there any of the task's answers counts, anywhere in the next 12 tokens.
        beat: called now and then; what it raises ends the work.

    Raises:
        TaskError: no such task; a text that is empty or too long. AddressError: no such layer.
    """
    run = _Bench(model, task, layer=layer, place=place, way=way, texts=texts, samples=samples, seed=seed, beat=beat)
    asked = [(NONE, 0.0)] + [(role, strength) for role in run.roles for strength in strengths if strength > 0]
    decode = model.tokenizer.decode
    rows: list[dict[str, Any]] = []
    for on, tokens in ((QUERIES, 1), (FREE, WRITTEN)):
        mine = [k for k, of in enumerate(run.on) if of == on]
        for (role, strength), found in zip(asked, run.written(asked, mine, tokens=tokens), strict=True):
            for sample, (k, one) in enumerate(zip(mine, found, strict=True)):
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
    met = capture(model, run.prompts, sites=(SITE,), positions=at, beat=beat).states(SITE, layer)
    norms = {role: float(np.linalg.norm(vector)) for role, vector in run.vectors.items()}
    return Bench(
        pa.Table.from_pylist(rows, schema=ROWS),
        len(run.pair.task.instructions),
        {**norms, "states": float(np.linalg.norm(met, axis=1).mean())},
        {
            "task": run.pair.task.name,
            "control": run.pair.control.name if run.pair.control else None,
            "layer": layer,
            "place": place,
            "way": way,
            "samples": samples,
            "seed": seed,
            "checkpoint": model.identity,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": str(model.device),
            "how": "hooks",
            "checks": [asdict(check) for check in checkup(model).checks],
        },
    )


def bench_texts(
    model: Model,
    task: str,
    *,
    layer: int,
    strength: float,
    place: str = "first",
    way: str = "add",
    texts: Sequence[str] = (),
    samples: int = 40,
    seed: int = 0,
    tokens: int = WRITTEN,
    beat: Callable[[], None] = lambda: None,
) -> tuple[BenchText, ...]:
    """What is written at one strength after the first queries and free texts, beside what is without."""
    run = _Bench(model, task, layer=layer, place=place, way=way, texts=texts, samples=samples, seed=seed, beat=beat)
    asked = [(NONE, 0.0)] + [(role, strength) for role in run.vectors]
    shown = [k for on in (QUERIES, FREE) for k in [k for k, of in enumerate(run.on) if of == on][:SHOWN]]
    decode = model.tokenizer.decode
    said = [[decode(list(one.ids)).strip() for one in row] for row in run.written(asked, shown, tokens=tokens)]
    without, moved, control = said if len(said) == 3 else (*said, [""] * len(shown))
    return tuple(
        BenchText(run.on[k], run.shown[k], run.expected[k], *texts)
        for k, *texts in zip(shown, without, moved, control, strict=True)
    )


def _mean(model: Model, task: Task, beat: Callable[[], None]) -> np.ndarray:
    """The mean of T_inst's stream over all wordings: `[layers, width]`."""
    known = _means.setdefault(model.hf, {})
    key = (task.collection, task.name, len(task.instructions))
    if key not in known:
        encoder = Encoder(model.tokenizer)
        prompts = [encoder.ids(instruction.text) for instruction in task.instructions]
        known[key] = capture(model, prompts, sites=(SITE,), beat=beat).sites[SITE].mean(axis=1)
    return known[key]


def _answers(encoder: Encoder, text: str, task: Task) -> list[tuple[int, ...]]:
    """All the task's answers, as tokens that would follow a text."""
    found = []
    for option in task.options:
        try:
            found.append(encoder.following(text, option))
        except TaskError:  # this one merges with the end of the text, so no tokens of its own could show it
            continue
    return found
