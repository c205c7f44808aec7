"""Texts: what a model writes for samples of a request, with and without one of its patch sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ivx.analyses.registry import analysis_of
from ivx.engine.hooks.generate import generate
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching.prepare import samples_of
from ivx.request import Request


@dataclass(frozen=True)
class Text:
    """One sample: its query and prompt, the answer it should have, and what is written without and with the patch."""

    sample: int
    query: str
    prompt: str
    answer: str
    before: str
    after: str


def texts(
    model: Model,
    request: Request,
    *,
    patch: str,
    samples: Sequence[int],
    role: str = "effect",
    tokens: int = 12,
    beat: Callable[[], None] = lambda: None,
) -> tuple[Text, ...]:
    """Greedy texts of some samples of an effects, scan or interactions request.

    Args:
        patch: an address of the request's table.
        samples: their numbers, from 0.
        role: whose states are patched in, as in the table's column `role`.
        beat: called now and then; what it raises ends the work.

    Raises:
        IvxError: an analysis that patches no rows, a role or a sample that it does not have.
    """
    prompts_of = analysis_of(request.kind).steps.prompts
    if prompts_of is None:
        raise IvxError(f"{request.kind} patches no prompt by an address, so there is no patched text")
    _, built = samples_of(model, request)
    if wrong := [k for k in samples if not 0 <= k < len(built.rows)]:
        raise IvxError(f"there is no sample {wrong[0]}: the request has {len(built.rows)}, counted from 0")
    every = prompts_of(request, built, patch.partition(".")[0])
    runs = next((part for part in every if part.role == role and part.runs(patch)), None)
    if runs is None:
        raise IvxError(f"this request has no rows of {role!r} for {patch}")
    prompts = [runs.targets[k] for k in samples]
    before = generate(model, prompts, tokens=tokens, beat=beat)
    by_address: dict[str, list[int]] = defaultdict(list)
    for i, k in enumerate(samples):
        by_address[runs.address(k, patch)].append(i)
    after = list(before)
    for address, members in by_address.items():
        found = generate(
            model,
            [prompts[i] for i in members],
            source=[runs.sources[samples[i]] for i in members],
            patches=address,
            means={address: runs.averaged(patch)} if "=mean" in address else None,
            tokens=tokens,
            beat=beat,
        )
        for i, written in zip(members, found, strict=True):
            after[i] = written
    told = [built.rows[k] for k in samples]
    decode = model.tokenizer.decode
    return tuple(
        Text(k, s.query, decode(list(ids)), s.answer, decode(list(b.ids)).strip(), decode(list(a.ids)).strip())
        for k, s, ids, b, a in zip(samples, told, prompts, before, after, strict=True)
    )
