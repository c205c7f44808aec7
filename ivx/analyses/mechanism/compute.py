"""Mechanism: of a head, where it looks against what it reads, swapped apart between two instructions of equal length.

The query is told the contrast task; of one head at the last token the output z = A v (its attention row times what its
key head offers at every token) is replaced by that of the same query told the task: all of it, A' v' (*total*); the row
alone, A' v (*routing*); the values alone, A v' (*content*). What is left, total − routing − content, is their
*interaction*: the product of both changes, and what the layers behind make of it. Everything behind is computed anew.
One half of the queries chooses the heads, by the total, the other measures them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ivx.analyses.base import Progress, Steps
from ivx.analyses.mechanism.partners import asked_of
from ivx.analyses.mechanism.request import MechanismRequest
from ivx.analyses.mechanism.result import CONTROLS, RANKED, ROLES, ROWS, SWAPPED, Look, Mechanism, halves, patch_of
from ivx.engine.address import PATTERN
from ivx.engine.hooks.given import patched
from ivx.engine.hooks.inside import split_of
from ivx.engine.hooks.sites import Place, read
from ivx.engine.plan.forecast import Forecast, of_passes, total_of
from ivx.engine.sweep import sweep
from ivx.engine.turns import only_user
from ivx.engine.workload import by_length
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import sweeping
from ivx.patching.prepare import measured, opening, run_told
from ivx.patching.roles import Runs
from ivx.patching.sweeping import rows_in, sweep_rows
from ivx.patching.table import Key, labelled, sampled
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

LONGEST = 64
"""Tokens of a prompt whose every attention row is kept; of a longer one the last token's is."""
DIGITS = 4
"""Of an attention weight that is kept to be drawn."""


def compute(
    model: Model,
    request: MechanismRequest,
    *,
    on_progress: Progress[Mechanism] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Mechanism:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again.

    Raises:
        IvxError: no wordings of equal length, too few samples, a model of one head a layer, or more heads than it has.
        UnsupportedArchitecture: its attention cannot be taken apart.
    """
    began = time.perf_counter()
    _check(model, request)
    samples, receipt = asked_of(model, request)
    instructed, how = run_told(model, samples, beat=beat)
    finished = opening(instructed, known)
    looks: dict[str, Look] = {}
    choosing, runs, every = _choosing(model, samples)
    chosen = halves(len(samples.rows))[1]
    rows = samples.rows[chosen]
    total = rows_in(choosing, [runs], every) + len(rows) * (1 + request.heads * (len(ROLES) - 2))

    def result() -> Mechanism:
        table = pa.concat_tables(finished)
        return Mechanism(
            request=request,
            table=table,
            samples=samples,
            layers=model.layers,
            heads=model.heads,
            looks=dict(looks),
            receipt=measured({**receipt, "how": str(how)}, table, began=began),
        )

    def arrived(new: Sequence[pa.Table], *_: int) -> None:
        finished.extend(new)
        if on_progress is None or not any(table.num_rows for table in new):
            beat()
        else:
            found = result()
            on_progress(found, found.table.num_rows - len(samples.rows), total)

    how |= sweep_rows(model, choosing, [runs], "z", every, arrived, known=known)
    has = set() if known is None else set(zip(known["role"].to_pylist(), known["patch"].to_pylist(), strict=True))
    for layer, head in result().top():
        beat()
        swap = _swap(model, samples, layer, head, seed=request.seed, beat=beat)
        looks[patch_of(layer, head)] = swap.look
        if (ROLES[-2], patch_of(layer, head)) in has:
            continue
        base = [] if ("total", "") in has else ["total"]
        has.add(("total", ""))
        found = _rows(model, samples, swap, list(swap.written), beat, base=bool(base))
        arrived([_shifted(table, chosen.start) for table in found])
    return result()


def _check(model: Model, request: MechanismRequest) -> None:
    split_of(model)
    if model.heads < 2:
        raise IvxError(f"{model.name} has one head a layer, so no other head can stand beside it: choose another")
    if request.heads > model.layers * model.heads:
        raise IvxError(f"heads is {request.heads}: {model.name} has {model.layers * model.heads}, choose fewer")


def _choosing(model: Model, samples: Samples) -> tuple[Samples, Runs, list[str]]:
    """What chooses: the samples, their runs, and every head's address."""
    chosen = halves(len(samples.rows))[0]
    rows, counter = samples.rows[chosen], samples.counter[chosen]
    told, other = [s.instructed for s in rows], [s.instructed for s in counter]
    every = [patch_of(layer, head) for layer in range(model.layers) for head in range(model.heads)]
    return Samples(rows, (), ()), Runs(RANKED, told, other, told), every


class _Swap(NamedTuple):
    """What is written of one head: by role, the head that it is written at, and vectors `[samples, width]`."""

    layer: int
    head: int
    written: dict[str, tuple[int, Tensor]]
    look: Look


def _swap(
    model: Model,
    samples: Samples,
    layer: int,
    head: int,
    *,
    seed: int,
    singly: bool = False,
    beat: Callable[[], None] = lambda: None,
) -> _Swap:
    """Everything that is written of one head and of its controls, over the measured half."""
    chosen = halves(len(samples.rows))[1]
    rows, counter = samples.rows[chosen], samples.counter[chosen]
    (theirs, read_), (own, held) = (_inside(model, some, layer, singly=singly, beat=beat) for some in (rows, counter))
    draw = np.random.default_rng((seed, layer, head))
    other = int(draw.choice([h for h in range(model.heads) if h != head]))
    written: dict[str, tuple[int, Tensor]] = {}
    for control, at in (("", head), ("head", other)):
        key = at // (model.heads // model.key_heads)
        parts = {
            "total": [a[at, -1] @ v[key] for a, v in zip(theirs, read_, strict=True)],
            "routing": [a[at, -1] @ v[key] for a, v in zip(theirs, held, strict=True)],
            "content": [a[at, -1] @ v[key] for a, v in zip(own, read_, strict=True)],
        }
        written |= {f"{part} {control}".strip(): (at, torch.stack(z)) for part, z in parts.items()}
    key = head // (model.heads // model.key_heads)
    now = torch.stack([a[head, -1] @ v[key] for a, v in zip(own, held, strict=True)])
    for part in SWAPPED:
        size = (written[part][1] - now).norm(dim=1, keepdim=True)
        random = torch.from_numpy(draw.standard_normal(now.shape)).to(now)
        written[f"{part} random"] = head, now + size * random / random.norm(dim=1, keepdim=True)
    moved = [float((a[head, -1] - b[head, -1]).abs().sum() / 2) for a, b in zip(theirs, own, strict=True)]
    look = Look(_kept(theirs[0][head]), _kept(own[0][head]), round(float(np.mean(moved)), DIGITS), other)
    return _Swap(layer, head, written, look)


def _kept(rows: Tensor) -> tuple[tuple[float, ...], ...]:
    """Attention rows `[tokens, tokens]` as they are kept, each up to its own token."""
    n = len(rows)
    first = 0 if n <= LONGEST else n - 1
    return tuple(
        tuple(round(min(max(float(x), 0.0), 1.0), DIGITS) for x in rows[i, : i + 1].tolist()) for i in range(first, n)
    )


def _inside(
    model: Model, rows: Sequence[Sample], layer: int, *, singly: bool, beat: Callable[[], None]
) -> tuple[list[Tensor], list[Tensor]]:
    """Attention `[heads, tokens, tokens]` and values `[key heads, tokens, width]` of one layer, sample by sample, in
    float32 or what is wider."""
    prompts = [row.instructed for row in rows]
    places: list[Place] = [(PATTERN, layer), ("v", layer)]
    found: dict[int, tuple[Tensor, Tensor]] = {}
    groups = [[i] for i in range(len(prompts))] if singly else list(by_length(prompts).values())
    for some in groups:
        beat()
        ids = torch.tensor([prompts[i] for i in some], device=model.device)
        with only_user(model), torch.inference_mode(), read(model, places) as seen:
            model.hf(input_ids=ids, use_cache=False, logits_to_keep=1)
        n = ids.shape[1]
        for k, i in enumerate(some):
            pattern, value = (_wide(seen[place][k]) for place in places)
            found[i] = (
                pattern.view(n, model.heads, n).transpose(0, 1),
                value.view(n, model.key_heads, -1).transpose(0, 1),
            )
    return [found[i][0] for i in range(len(prompts))], [found[i][1] for i in range(len(prompts))]


def _wide(state: Tensor) -> Tensor:
    return state if state.dtype == torch.float64 else state.float()


def _rows(
    model: Model,
    samples: Samples,
    swap: _Swap,
    roles: Sequence[str],
    beat: Callable[[], None],
    *,
    base: bool = False,
    only: int | None = None,
) -> list[pa.Table]:
    """The rows of a head by role, those of the unpatched run first where they are wanted; of one sample alone with
    `only`, its number in the measured half."""
    chosen = halves(len(samples.rows))[1]
    of = slice(None) if only is None else slice(only, only + 1)
    rows, counter = samples.rows[chosen][of], samples.counter[chosen][of]
    written = [swap.written[role] for role in roles]
    vectors = [(patch_of(swap.layer, head), z[of].to(model.dtype)) for head, z in written]
    table = patched(
        model,
        target=[s.instructed for s in counter],
        answer=[s.answer_tokens for s in rows],
        contrast=[s.contrast_tokens for s in rows],
        patches=[*([("", None)] if base else []), *vectors],
        beat=beat,
    )
    n, found = len(rows), []
    for k, role in enumerate([*(["total"] if base else []), *roles]):
        part = table.slice(k * n, n)
        # A control's rows go by the head that they stand beside.
        name = "" if base and k == 0 else patch_of(swap.layer, swap.head)
        part = part.set_column(part.schema.get_field_index("patch"), "patch", pa.array([name] * n, pa.string()))
        found.append(labelled(part, role, "z").cast(ROWS))
    return found


def _shifted(table: pa.Table, by: int) -> pa.Table:
    """The rows with their samples' numbers moved: the measured half is counted behind the choosing one."""
    at = table.schema.get_field_index("sample")
    return table.set_column(at, "sample", pc.add(table["sample"], pa.scalar(by, pa.int32())))


def replay(
    model: Model, found: Mechanism, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some patched rows again by plain hooks, every state from a pass of its own.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    samples = found.samples
    start = halves(len(samples.rows))[1].start
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(found.table.filter(pc.field("role") != "told"), rows, seed=seed):
        beat()
        role, patch, k = row["role"], row["patch"], row["sample"]
        if role == RANKED or not patch:
            again = sweep(
                model,
                source=[samples.rows[k].instructed],
                target=[samples.counter[k].instructed],
                answer=[samples.rows[k].answer_tokens],
                patches=[patch] if patch else [],
                engine="hooks",
            )
        else:
            layer, head = map(int, patch.partition("@")[0].split(".")[1:])
            swap = _swap(model, samples, layer, head, seed=found.request.seed, singly=True)
            again = _rows(model, samples, swap, [role], beat, only=k - start)[0]
        names.append((role, row["site"], patch, k))
        before.append(row["logit"])
        now.append(again["logit"][-1].as_py())
    return names, before, now


def cost_of(model: Model, request: MechanismRequest) -> Forecast:
    """What a request will cost: every head on one half, and the parts and controls of a few on the other."""
    _check(model, request)
    samples, _ = asked_of(model, request)
    choosing, runs, every = _choosing(model, samples)
    chosen = halves(len(samples.rows))[1]
    prompts = [sample.instructed for sample in samples.counter[chosen]]
    passes = 1 + request.heads * (len(SWAPPED) * (1 + len(CONTROLS)) + 2)
    return total_of(
        [
            sweeping.cost_of(model, choosing, [runs], every),
            of_passes(model, prompts * passes, rows=passes * len(prompts)),
        ]
    )


STEPS: Steps[MechanismRequest, Mechanism] = Steps(compute=compute, replay=replay, cost=cost_of)
