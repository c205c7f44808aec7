"""Estimates: attribution patching, every address of a sweep from one forward and two backward passes a sample.

A patch changes a logit by about (source state − target state) · gradient at the target run (Nanda 2023). That is exact
for a linear model and poor where the model is not: an estimate orders work and fills a map at once, and is never
reported as a result. Of a set the estimates are added, so `=own` moves nothing: what a later patch overwrites of an
earlier one is of second order (`ivx.engine.linear.curvature`). Integrated gradients would need a forward pass for each
address and step, so as many as the exact sweep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine.address import OWN, RANDOM, Patch, PatchSet, spots
from ivx.engine.draws import Draw, draw_of, drawn
from ivx.engine.hooks.sites import Place, read
from ivx.engine.readout import Answer, score
from ivx.engine.turns import only_user
from ivx.engine.workload import Prompts, Workload, by_length, checked
from ivx.models.model import Model

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("patch", pa.string()),
        ("logit", pa.float64()),
        ("contrast", pa.float64()),
        ("estimate", pa.bool_()),
    ]
)
TOKENS, STREAMED_TOKENS = 64, 1024
"""Tokens of one pass: more of them are hardly quicker each, and who stops an estimate waits for the end of a pass.
Where weights are streamed, a pass waits for all of them."""

Ids = tuple[int, ...]
Group = tuple[Prompts, Sequence[str]]
"""Sources, one for each sample, and the patches that take their states from these."""


class _State(NamedTuple):
    """A state of a source run; with a draw, a random one of its norm."""

    ids: Ids
    position: int
    draw: Draw | None = None


Value = _State | Patch | None
"""What is written: a state, the mean that a patch writes, or nothing, which is 0."""


class _Edit(NamedTuple):
    """One row of the table moves by what is written at one token of all target runs; `head` is −1 for all of it."""

    row: int
    token: int
    head: int
    value: Value


class _Slopes(NamedTuple):
    """The target runs, token after token, and where each sample's begin.

    Attributes:
        states: by place `[tokens, width]`.
        slopes: gradients of the answer's logit, then the contrast's, by place `[logits, tokens, width]`.
        levels: these logits `[logits, samples]`.
    """

    starts: list[int]
    states: dict[Place, Tensor]
    slopes: dict[Place, Tensor]
    levels: Tensor


def estimate(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[Answer],
    patches: Sequence[str],
    contrast: Sequence[Answer] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> pa.Table:
    """Estimate what `ivx.sweep` would compute with the same arguments.

    Args:
        beat: called before each pass of the model; what it raises ends the work.

    Returns:
        One row per sample × patch, and one per sample for the unpatched target (exact, patch `""`): `sample, patch,
        logit, contrast, estimate`, the last true where the logits are estimates.
    """
    return estimate_groups(model, [(source, patches)], target=target, answer=answer, contrast=contrast, beat=beat)


def estimate_groups(
    model: Model,
    groups: Sequence[Group],
    *,
    target: Prompts,
    answer: Sequence[Answer],
    contrast: Sequence[Answer] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> pa.Table:
    """`estimate` of several groups of patches, each with its own sources, from the same passes of the target runs.

    The rows are those of the unpatched targets, then each group's in turn.
    """
    asked = [
        checked(model, source=source, target=target, answer=answer, patches=patches, contrast=contrast, reference=None)
        for source, patches in groups
    ]
    sets = [(part, text, patch_set) for part in asked for text, patch_set in part.patches.items()]
    target, n = asked[0].target, len(asked[0].target)
    places = sorted({(patch.site, patch.layer) for _, _, patch_set in sets for patch in patch_set})
    with only_user(model):
        found = _slopes(model, asked[0], places, beat)
        edits = _edits(sets, found.starts)
        states = _states(model, edits, beat)
        moved = torch.zeros(len(found.levels), n * (1 + len(sets)), dtype=torch.float64)
        for place, here in edits.items():
            moved.index_add_(1, torch.tensor([e.row for e in here]), _moves(model, place, here, found, states, target))
    logits = (found.levels.repeat(1, 1 + len(sets)) + moved).numpy()
    return pa.table(
        [
            pa.array([*range(n)] * (1 + len(sets)), pa.int32()),
            pa.array([text for text in ("", *(text for _, text, _ in sets)) for _ in range(n)]),
            pa.array(logits[0]),
            pa.nulls(len(logits[0]), pa.float64()) if contrast is None else pa.array(logits[1]),
            pa.array([False] * n + [True] * (n * len(sets))),
        ],
        schema=SCHEMA,
    )


def batches(model: Model, prompts: Prompts) -> Iterator[list[int]]:
    """Samples whose prompts are of one length, as many at a time as go through the model in one pass."""
    for length, samples in by_length(prompts).items():
        step = max(1, (TOKENS if model.stream is None else STREAMED_TOKENS) // length)
        yield from (samples[first : first + step] for first in range(0, len(samples), step))


def graph_of(model: Model, ids: Tensor) -> Tensor:
    """Last-token logits with an autograd graph that begins at the embeddings; the weights get no gradients."""
    hook = model.hf.get_input_embeddings().register_forward_hook(lambda m, a, out: out.detach().requires_grad_())
    try:
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
    finally:
        hook.remove()


def goals_of(asked: Workload, samples: Sequence[int], logits: Tensor) -> list[Tensor]:
    """The answers' logits, and the contrasts' where there are any, of some samples' `[samples, vocabulary]`."""
    named = [[ids[i] for i in samples] for ids in (asked.answer, asked.contrast) if ids is not None]
    return [_read(logits, answers) for answers in named]


def _read(logits: Tensor, answers: Sequence[tuple[int, ...]]) -> Tensor:
    if all(len(ids) == 1 for ids in answers):
        return logits[range(len(answers)), [ids[0] for ids in answers]]
    return torch.stack([score(row[list(ids)]) for row, ids in zip(_wide(logits), answers, strict=True)])


def _slopes(model: Model, asked: Workload, places: list[Place], beat: Callable[[], None]) -> _Slopes:
    starts = [0] * len(asked.target)
    states: dict[Place, list[Tensor]] = defaultdict(list)
    slopes: dict[Place, list[Tensor]] = defaultdict(list)
    levels = torch.zeros(1 if asked.contrast is None else 2, len(starts), dtype=torch.float64)
    # resid_mid is patched through what attention adds, so its gradient is that of attn_out.
    through = [("attn_out", layer) if site == "resid_mid" else (site, layer) for site, layer in places]
    tokens = 0
    for samples in batches(model, asked.target):
        beat()
        ids = torch.tensor([asked.target[i] for i in samples], device=model.device)
        with torch.enable_grad(), read(model, {*places, *through}) as read_now:
            goals = goals_of(asked, samples, graph_of(model, ids))
            seen = dict(read_now)  # streamed blocks run again on the way back, and would be read again
            by = [seen[place] for place in through]
            found = []
            for goal in goals:
                beat()
                # Samples are independent, so the gradient of the sum holds each one's own.
                found.append(torch.autograd.grad(goal.sum(), by, retain_graph=True, allow_unused=True))
        for place, *both in zip(places, *found, strict=True):
            here = seen[place].detach()
            states[place].append(here.flatten(0, 1))
            both = [torch.zeros_like(here) if slope is None else slope for slope in both]
            slopes[place].append(torch.stack(both).flatten(1, 2))
        levels[:, samples] = torch.stack(goals).detach().double().cpu()
        for i in samples:
            starts[i], tokens = tokens, tokens + len(asked.target[i])
    return _Slopes(
        starts,
        {place: torch.cat(parts) for place, parts in states.items()},
        {place: torch.cat(parts, dim=1) for place, parts in slopes.items()},
        levels,
    )


def _edits(sets: Sequence[tuple[Workload, str, PatchSet]], starts: Sequence[int]) -> dict[Place, list[_Edit]]:
    """What each patch writes, by place."""
    found: dict[Place, list[_Edit]] = defaultdict(list)
    for k, (asked, _, patch_set) in enumerate(sets):
        writing = [patch for patch in patch_set if patch.value != OWN]
        for patch, (i, start) in product(writing, enumerate(starts)):
            target, source = asked.target[i], asked.source[i]
            for position, taken in spots(patch, sample=i, target=target, source=source):
                value: Value = None
                if patch.value == "mean":
                    value = patch
                elif not patch.ablates:
                    draw = draw_of(patch, target=target, source=source, taken=taken) if patch.value == RANDOM else None
                    value = _State(tuple(source), taken, draw)
                head = -1 if patch.head is None else patch.head
                row = (1 + k) * len(starts) + i
                found[patch.site, patch.layer].append(_Edit(row, start + position, head, value))
    return found


def _states(
    model: Model, edits: dict[Place, list[_Edit]], beat: Callable[[], None]
) -> dict[tuple[Place, Ids, int], Tensor]:
    """The states that are taken, by place, prompt and position."""
    taken = {
        (place, e.value.ids, e.value.position)
        for place, here in edits.items()
        for e in here
        if isinstance(e.value, _State)
    }
    # By causality the states of a prompt are those of any prompt that begins with it.
    within: dict[Ids, Ids] = {}
    longer: Ids = ()
    for ids in sorted({ids for _, ids, _ in taken}, reverse=True):
        longer = within[ids] = longer if longer[: len(ids)] == ids else ids
    rows: dict[Ids, list[tuple[Place, Ids, int]]] = defaultdict(list)
    for place, ids, position in taken:
        rows[within[ids]].append((place, ids, position))
    found, prompts = {}, list(rows)
    for samples in batches(model, prompts):
        beat()
        batch = torch.tensor([prompts[i] for i in samples], device=model.device)
        with torch.inference_mode(), read(model, {place for i in samples for place, _, _ in rows[prompts[i]]}) as seen:
            model.hf(input_ids=batch, use_cache=False, logits_to_keep=1)
        for row, i in enumerate(samples):
            for place, own, position in rows[prompts[i]]:
                found[place, own, position] = seen[place][row, position].clone()
    return found


def _moves(
    model: Model,
    place: Place,
    edits: Sequence[_Edit],
    found: _Slopes,
    states: dict[tuple[Place, Ids, int], Tensor],
    target: Prompts,
) -> Tensor:
    """By how much each edit of a place moves the logits, `[logits, edits]`."""
    here, slopes = _wide(found.states[place]), _wide(found.slopes[place])
    # Heads of one token are written with one value, so a product is taken once for all of them.
    once = list(dict.fromkeys((e.token, e.value) for e in edits))
    numbers = {key: k for k, key in enumerate(once)}
    made: dict[Value, Tensor] = {}
    for _, value in once:
        if value not in made:
            made[value] = _wide(_value(model, place, value, found, states, target))
    tokens = torch.tensor([token for token, _ in once], device=here.device)
    delta = torch.stack([made[value] for _, value in once]) - here[tokens]
    heads = model.heads if place[0] == "z" else 1
    parts = (
        torch.einsum("nhw,knhw->knh", delta.unflatten(1, (heads, -1)), slopes[:, tokens].unflatten(2, (heads, -1)))
        .double()
        .cpu()
    )
    every = torch.cat([parts, parts.sum(dim=2, keepdim=True)], dim=2)  # so that head −1 is all of them
    return every[:, [numbers[e.token, e.value] for e in edits], [e.head for e in edits]]


def _value(
    model: Model,
    place: Place,
    value: Value,
    found: _Slopes,
    states: dict[tuple[Place, Ids, int], Tensor],
    target: Prompts,
) -> Tensor:
    here = found.states[place]
    if value is None:
        return torch.zeros_like(here[0])
    if isinstance(value, Patch):
        every = [
            start + position
            for i, (start, ids) in enumerate(zip(found.starts, target, strict=True))
            for position, _ in spots(value, sample=i, target=ids, source=ids)
        ]
        return here[every].mean(dim=0)
    state = states[place, value.ids, value.position]
    return state if value.draw is None else drawn(state, value.draw, heads=model.heads)


def _wide(states: Tensor) -> Tensor:
    return states if states.dtype == torch.float64 else states.float()
