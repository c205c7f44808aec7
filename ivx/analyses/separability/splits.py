"""Splits: which wordings a probe is trained and tested on, kept apart by paraphrase family.

Near copies of a wording on both sides would let a probe pass by memory. So a family is on one side only, and a split
that leaks is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ivx.errors import IvxError
from ivx.tasks.wordings import folded

Ints = NDArray[np.int64]


class Split(NamedTuple):
    """One fold of one repeat: indices of the wordings on either side."""

    repeat: int
    train: Ints
    test: Ints


@dataclass(frozen=True)
class Examples:
    """What probes learn from, wording by wording; `labels` number the `classes`.

    `problems` are the classes that are told apart from one another: all in one problem, or pairs of them.
    """

    labels: Ints
    families: tuple[str, ...]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    problems: tuple[tuple[int, ...], ...]

    def inside(self, members: Ints, problem: Sequence[int]) -> Ints:
        """Those members that belong to a problem's classes."""
        return members[np.isin(self.labels[members], problem)]

    @property
    def chance(self) -> float:
        """Accuracy of a guess, where every class has the same number of wordings."""
        sizes = np.array([len(problem) for problem in self.problems])
        return float(len(sizes) / sizes.sum())

    @cached_property
    def _apart(self) -> tuple[Ints, Ints]:
        """Integer ids of each wording's family, and of its text regardless of case and spacing."""
        numbered = (self.families, [folded(text) for text in self.texts])
        family, text = (np.unique(names, return_inverse=True)[1] for names in numbered)
        return family, text

    def check(self, split: Split) -> None:
        """Raise `IvxError` where a wording or its family stands on both sides, or a class has none to learn from."""
        for told, number in zip(("paraphrase family", "wording"), self._apart, strict=True):
            shared = np.isin(split.test, split.train) | np.isin(number[split.test], number[split.train])
            if shared.any():
                k = split.test[np.flatnonzero(shared)[0]]
                raise IvxError(
                    f"the split leaks: a {told} is on both sides, that of {self.texts[k]!r:.100}; split by family"
                )
        missing = set(range(len(self.classes))) - set(self.labels[split.train].tolist())
        if missing:
            raise IvxError(
                f"no wording of {self.classes[min(missing)]} is left to learn from: ask for other folds, or give its "
                "wordings more families"
            )

    def splits(self, *, folds: int, repeats: int, seed: int = 0) -> list[Split]:
        """Repeated stratified group k-fold, checked."""
        found = []
        for repeat in range(repeats):
            state = int(np.random.default_rng([seed, repeat]).integers(2**31))
            parts = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=state)
            for train, test in parts.split(self.labels, self.labels, groups=self._apart[0]):
                found.append(Split(repeat, train, test))
        for split in found:
            self.check(split)
        return found

    def shuffled(self, members: Ints, *, seed: Sequence[int]) -> Ints:
        """Labels of all wordings, those of `members` shuffled by family: what a probe reaches where there is nothing to
        learn.

        All wordings that a family has of one task get one other label, so they are as alike as before; but families
        that are tested were never seen, so no label of theirs can be known. A family of several tasks swaps labels
        within itself, so its classes stay balanced; families of one task swap with one another.
        """
        draw = np.random.default_rng(seed)
        family, labels = self._apart[0][members], self.labels[members]
        told: dict[tuple[int, int], int] = {}
        lone = []
        for number in np.unique(family):
            own = np.unique(labels[family == number])
            if len(own) > 1:
                told.update(zip(((int(number), int(a)) for a in own), draw.permutation(own).tolist(), strict=True))
            else:
                lone.append((int(number), int(own[0])))
        told.update(zip(lone, draw.permutation([label for _, label in lone]).tolist(), strict=True))
        found = self.labels.copy()
        found[members] = [told[int(f), int(a)] for f, a in zip(family, labels, strict=True)]
        return found

    def within(self, *, seed: int = 0) -> Split | None:
        """Half of each family's wordings of a class against the other half: what a family is like can be learnt.

        Wordings that are alone in their family and class are on neither side; None where all are.
        """
        draw = np.random.default_rng([seed, len(self.labels)])
        both = np.stack([self._apart[0], self.labels])
        train, test = [], []
        for kind in np.unique(both, axis=1).T:
            own = draw.permutation(np.flatnonzero((both == kind[:, None]).all(axis=0)))
            if len(own) > 1:
                train += own[: len(own) // 2].tolist()
                test += own[len(own) // 2 :].tolist()
        found = Split(0, np.array(sorted(train), dtype=np.int64), np.array(sorted(test), dtype=np.int64))
        return found if len(set(self.labels[found.train].tolist())) == len(self.classes) else None
