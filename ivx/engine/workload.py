"""The checked input of a sweep: no code after this module meets bad input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ivx.engine.address import Patch, PatchSet, check, parse, spots
from ivx.engine.readout import Answer, ids_of
from ivx.errors import AddressError, IvxError
from ivx.models.model import Model

Prompts = Sequence[Sequence[int]]
Places = Sequence[tuple[Sequence[int], int]]
"""Single states: (token ids, position) pairs."""


@dataclass(frozen=True)
class Workload:
    """One sweep: token ids per sample, and the patch sets by the text that names them in the table.

    An answer, or a contrast, is the distinct ids of its tokens. `means` holds the states that each `=mean` patch
    averages; their positions count from the start.
    """

    source: Prompts
    target: Prompts
    answer: Sequence[tuple[int, ...]]
    patches: dict[str, PatchSet]
    contrast: Sequence[tuple[int, ...]] | None = None
    reference: Prompts | None = None
    means: dict[Patch, Places] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Samples × patch sets, and the unpatched target of each sample."""
        return len(self.target) * (len(self.patches) + 1)

    def of(self, samples: Sequence[int]) -> Workload:
        """The same sweep of these samples alone, numbered from 0; a mean stays that of all it averages."""

        def some(values: Sequence[Any] | None) -> Any:
            return None if values is None else [values[i] for i in samples]

        return replace(
            self,
            source=some(self.source),
            target=some(self.target),
            answer=some(self.answer),
            contrast=some(self.contrast),
            reference=some(self.reference),
        )


def checked(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[Answer],
    patches: Sequence[str],
    contrast: Sequence[Answer] | None,
    reference: Prompts | None,
    means: Mapping[str, Places] | None = None,
) -> Workload:
    """Read the patches and refuse what this model or these samples do not have (`AddressError`, `IvxError`)."""
    answers = [ids_of(one) for one in answer]
    contrasts = None if contrast is None else [ids_of(one) for one in contrast]
    lists: dict[str, Prompts] = {"source": source, "target": target, "answer": answers}
    if contrasts is not None:
        lists["contrast"] = contrasts
    if reference is not None:
        lists["reference"] = reference
    if len({len(prompts) for prompts in lists.values()}) > 1 or not len(target):
        told = ", ".join(f"{name} {len(prompts)}" for name, prompts in lists.items())
        raise IvxError(f"a sweep needs at least one sample and lists of one length; these have {told}")
    for name, prompts in lists.items():
        for sample, ids in enumerate(prompts):
            _check_ids(model, ids, f"the {name} of sample {sample}")
    wanted = {text: parse(text) for text in patches}
    for patch in {p for patch_set in wanted.values() for p in patch_set}:
        check(
            patch,
            layers=model.layers,
            heads=model.heads,
            parallel=model.anatomy.parallel,
            key_heads=model.key_heads,
        )
        for sample, (goal, origin) in enumerate(zip(target, source, strict=True)):
            spots(patch, sample=sample, target=goal, source=origin)
    runs = [tuple(tuple(int(i) for i in ids) for ids in prompts) for prompts in (source, target, reference or ())]
    averaged: dict[Patch, Places] = {}
    for patch in {p for patch_set in wanted.values() for p in patch_set if p.value == "mean"}:
        averaged[patch] = [
            (ids, position)
            for sample, (ids, origin) in enumerate(zip(runs[1], runs[0], strict=True))
            for position, _ in spots(patch, sample=sample, target=ids, source=origin)
        ]
    for text, places in (means or {}).items():
        found = _averaged(model, text, places)
        averaged.update((patch, found) for patch in parse(text) if patch.value == "mean")
    return Workload(
        source=runs[0],
        target=runs[1],
        answer=answers,
        patches=wanted,
        contrast=contrasts,
        reference=None if reference is None else runs[2],
        means=averaged,
    )


def _check_ids(model: Model, ids: Sequence[int], what: str) -> None:
    if not len(ids):
        raise IvxError(f"{what} is empty: give at least one token id")
    if model.reach is not None and len(ids) > model.reach:
        raise IvxError(
            f"{what} has {len(ids)} tokens and this checkpoint knows {model.reach} positions: shorten its texts"
        )
    bad = [i for i in ids if not 0 <= i < model.vocabulary]
    if bad:
        raise IvxError(f"{what} holds token id {bad[0]}, outside this checkpoint's vocabulary of {model.vocabulary}")


def _averaged(model: Model, text: str, places: Places) -> Places:
    if not places:
        raise IvxError(f"{text}: there is no state to average: give (token ids, position) pairs")
    for k, (ids, at) in enumerate(places):
        _check_ids(model, ids, f"state {k} of the mean of {text}")
        if not -len(ids) <= at < len(ids):
            raise AddressError(f"{text}: the prompt of state {k} has {len(ids)} tokens, none at {at}")
    return [(tuple(map(int, ids)), at % len(ids)) for ids, at in places]


def by_length(prompts: Prompts) -> dict[int, list[int]]:
    """Samples by the length of their prompt: those of one length make a batch without padding."""
    groups: dict[int, list[int]] = defaultdict(list)
    for sample, ids in enumerate(prompts):
        groups[len(ids)].append(sample)
    return groups
