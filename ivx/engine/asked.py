"""What a sweep is asked for, checked: nothing behind this module meets bad input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ivx.engine.address import PatchSet, check, parse, spots
from ivx.errors import IvxError
from ivx.models.model import Model

Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Asked:
    """One sweep: token ids per sample, and the patch sets by the text that names them in the table."""

    source: Prompts
    target: Prompts
    answer: Sequence[int]
    patches: dict[str, PatchSet]
    contrast: Sequence[int] | None = None
    reference: Prompts | None = None

    @property
    def rows(self) -> int:
        """Samples × patch sets, and the unpatched target of each sample."""
        return len(self.target) * (len(self.patches) + 1)


def checked(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[int],
    patches: Sequence[str],
    contrast: Sequence[int] | None,
    reference: Prompts | None,
) -> Asked:
    """Read the patches and refuse what this model or these samples do not have (`AddressError`, `IvxError`)."""
    lists = {"source": source, "target": target, "answer": [[a] for a in answer]}
    if contrast is not None:
        lists["contrast"] = [[c] for c in contrast]
    if reference is not None:
        lists["reference"] = reference
    if len({len(prompts) for prompts in lists.values()}) > 1 or not len(target):
        told = ", ".join(f"{name} {len(prompts)}" for name, prompts in lists.items())
        raise IvxError(f"a sweep needs at least one sample and lists of one length; these have {told}")
    for name, prompts in lists.items():
        for sample, ids in enumerate(prompts):
            if not len(ids):
                raise IvxError(f"the {name} of sample {sample} is empty: give at least one token id")
            bad = [i for i in ids if not 0 <= i < model.vocabulary]
            if bad:
                raise IvxError(
                    f"the {name} of sample {sample} holds token id {bad[0]}, outside this checkpoint's vocabulary "
                    f"of {model.vocabulary}"
                )
    wanted = {text: parse(text) for text in patches}
    for patch in {p for patch_set in wanted.values() for p in patch_set}:
        check(patch, layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
        for sample, (goal, origin) in enumerate(zip(target, source, strict=True)):
            spots(patch, sample=sample, target=goal, source=origin)
    runs = [tuple(tuple(int(i) for i in ids) for ids in prompts) for prompts in (source, target, reference or ())]
    return Asked(
        source=runs[0],
        target=runs[1],
        answer=[int(a) for a in answer],
        patches=wanted,
        contrast=None if contrast is None else [int(c) for c in contrast],
        reference=None if reference is None else runs[2],
    )


def by_length(prompts: Prompts) -> dict[int, list[int]]:
    """Samples whose prompts have one length: they make a batch without padding."""
    groups: dict[int, list[int]] = defaultdict(list)
    for sample, ids in enumerate(prompts):
        groups[len(ids)].append(sample)
    return groups
