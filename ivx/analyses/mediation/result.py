"""The result of a mediation: total, direct and mediated effects of every carrier, and of sets of the strongest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.mediation import drawing
from ivx.analyses.mediation.carriers import Carriers
from ivx.analyses.mediation.request import MediationRequest
from ivx.formats.plotted import Plotted
from ivx.patching.roles import controls_there, is_real, role_of, variant
from ivx.patching.table import by_patch, detail
from ivx.stats.intervals import Array, means
from ivx.stats.metrics import PRIMARY, find
from ivx.stats.ratios import Ratio, ratios
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

RANDOM_SET = "set"
"""The control of a carrier or of a set of them: others of the same kind, as many."""


@dataclass(frozen=True)
class Carried:
    """What passes through one carrier, or through several together; effects in the metric's unit.

    Attributes:
        label, patch: its name, and the address of the vector with it set to its own value.
        row, column: its place on the map; of a set, 0 and its number of carriers.
        size: how many carriers.
        mediated: `f(S) − f(S | C own)`, of an edge what goes along it alone; its controls are another task's vector,
            and `set`, the mean of others of the same kind and number.
        direct: `f(S | C own)`, of an edge what does not go along it; a mean with its interval.
        share: mediated over total; None where the total is not different from 0.
    """

    label: str
    patch: str
    row: int
    column: int
    size: int
    mediated: Verdict
    direct: Ratio
    share: Ratio | None
    n: int

    def told(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        about = {name: getattr(self, name) for name in ("label", "patch", "row", "column", "size", "n")}
        controls = {name: of._asdict() for name, of in self.mediated.against.items()}
        share = None if self.share is None else self.share._asdict()
        return about | {
            "mediated": self.mediated.plain() | {"controls": controls},
            "direct": self.direct._asdict(),
            "share": share,
        }


@dataclass(frozen=True, kw_only=True)
class Mediation(Result[MediationRequest]):
    """A result: one row per sample × patch × role, and everything needed to read it."""

    samples: Samples
    carriers: Carriers

    @property
    def edges(self) -> bool:
        """Whether a row opens one edge, in place of closing a carrier."""
        return self.request.through == "edges"

    @property
    def singles(self) -> list[str]:
        """The vector alone, with each carrier, and with all of them."""
        every = range(len(self.carriers.every))
        patches = [self.carriers.put, *(self.carriers.address([k]) for k in every)]
        return list(dict.fromkeys([*patches, *([] if self.edges else [self.all_own])]))

    @property
    def all_own(self) -> str:
        """The vector with all carriers set to their own values; whole layers of heads by one address each."""
        if self.request.through != "heads":
            return self.carriers.address(range(len(self.carriers.every)))
        layers = dict.fromkeys(carrier.row for carrier in self.carriers.every)
        return ",".join([self.carriers.put, *(f"z.{layer}@*=own" for layer in layers)])

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many of the strongest are set together: 2, 4, 8, …, and `top`, fewer than there are."""
        if self.edges:
            return ()
        most = min(self.request.top, len(self.carriers.every) - 1)
        return tuple(sorted({size for size in (2, 4, 8, 16, 32, 64, most) if 2 <= size <= most}))

    @property
    def ranking(self) -> slice:
        """The samples that rank the carriers."""
        return slice(0, max(1, len(self.samples.rows) // 2))

    @property
    def measuring(self) -> slice:
        """The samples that sets of the strongest are measured on."""
        return slice(self.ranking.stop, None)

    @cached_property
    def ranked(self) -> list[int]:
        """The carriers, those that most passes through first, by the ranking samples."""
        mine = self._effects("effect", PRIMARY)
        total = mine[self.carriers.put]
        every = range(len(self.carriers.every))
        lost = [np.nanmean((total - mine[self.carriers.address([k])])[self.ranking]) for k in every]
        return sorted(every, key=lambda k: -np.nan_to_num(lost[k], nan=-np.inf))

    @property
    def strongest(self) -> list[tuple[int, str]]:
        """(size, patch) of the sets of the strongest."""
        return [(size, self.carriers.address(self.ranked[:size])) for size in self.sizes]

    @property
    def drawn_sets(self) -> dict[int, list[str]]:
        """Patches of random sets by their size, of carriers that are not among the strongest where there are enough."""
        found = {}
        for size in self.sizes:
            rng = np.random.default_rng([self.request.seed, size])
            rest = self.ranked[size:] if len(self.ranked) >= 2 * size else self.ranked
            sets = [sorted(rng.permutation(rest)[:size].tolist()) for _ in range(self.request.draws)]
            found[size] = list(dict.fromkeys(self.carriers.address(chosen) for chosen in sets))
        return found

    @property
    def controls(self) -> list[str]:
        """The controls that were run."""
        return controls_there(self.request.controls, self.samples)

    def total(self, metric: str = PRIMARY) -> Verdict | None:
        """The effect that nothing is set back in; None until it is done."""
        every = self._every(metric)
        if not all(self.carriers.put in found for found in every.values()):
            return None
        values = {name: found[self.carriers.put][None] for name, found in every.items()}
        return self._judged(values, metric)[0]

    def cells(self, metric: str = PRIMARY) -> list[Carried]:
        """Every carrier by itself, once all are done."""
        if metric not in self._read:
            self._read[metric] = self._cells(metric)
        return self._read[metric]

    @cached_property
    def _read(self) -> dict[str, list[Carried]]:
        """Cache of the carriers by metric."""
        return {}

    def _cells(self, metric: str) -> list[Carried]:
        patches = [self.carriers.address([k]) for k in range(len(self.carriers.every))]
        every = self._every(metric)
        if not all({self.carriers.put, *patches} <= found.keys() for found in every.values()):
            return []
        through = {name: self._through(found, patches) for name, found in every.items()}
        if len(patches) > 1:
            rest = through[""].sum(axis=0) - through[""]
            through[RANDOM_SET] = rest / (len(patches) - 1)
        places = [(one.label, one.row, one.column, 1) for one in self.carriers.every]
        return self._carried(patches, places, through, every[""], metric, slice(None))

    def together(self, metric: str = PRIMARY) -> list[Carried]:
        """Sets of the strongest carriers, measured on the samples that did not rank them, once they are done."""
        every = self._every(metric)
        sets = self.strongest if self.cells() else []
        drawn = self.drawn_sets if sets else {}
        mine = every[""]
        if not all({patch for _, patch in sets} <= found.keys() for found in every.values()):
            return []
        if not sets or not {patch for some in drawn.values() for patch in some} <= mine.keys():
            return []
        patches = [patch for _, patch in sets]
        through = {name: self._through(found, patches) for name, found in every.items()}
        through[RANDOM_SET] = np.stack([self._through(mine, drawn[size]).mean(axis=0) for size, _ in sets])
        places = [(f"strongest {size}", 0, size, size) for size, _ in sets]
        return self._carried(patches, places, through, mine, metric, self.measuring)

    def everything(self, metric: str = PRIMARY) -> Carried | None:
        """All carriers together; None for edges, or until they are done."""
        every = self._every(metric)
        if self.edges or not all({self.carriers.put, self.all_own} <= found.keys() for found in every.values()):
            return None
        through = {name: self._through(found, [self.all_own]) for name, found in every.items()}
        size = len(self.carriers.every)
        place = ("all together", 0, size, size)
        return self._carried([self.all_own], [place], through, every[""], metric, slice(None))[0]

    def _through(self, effects: Mapping[str, Array], patches: Sequence[str]) -> Array:
        """What passes through each: `[patches, samples]`."""
        left = np.stack([effects[patch] for patch in patches])
        return left if self.edges else effects[self.carriers.put] - left

    def _carried(
        self,
        patches: Sequence[str],
        places: Sequence[tuple[str, int, int, int]],
        through: Mapping[str, Array],
        mine: Mapping[str, Array],
        metric: str,
        of: slice,
    ) -> list[Carried]:
        total = mine[self.carriers.put][of]
        values = {name: found[:, of] for name, found in through.items()}
        judged = self._judged(values, metric, of=of)
        groups, seed = self.samples.groups[of], self.request.seed
        shares = ratios(values[""], total, seed=seed, groups=groups)
        direct = means(total - values[""], seed=seed, groups=groups, shares=find(metric).shares)
        return [
            Carried(
                label,
                patch,
                row,
                column,
                size,
                judged[k],
                Ratio(float(direct.mean[k]), float(direct.low[k]), float(direct.high[k])),
                shares[k],
                len(total),
            )
            for k, (patch, (label, row, column, size)) in enumerate(zip(patches, places, strict=True))
        ]

    def _judged(self, values: Mapping[str, Array], metric: str, *, of: slice = slice(None)) -> list[Verdict]:
        others = dict(values)
        return verdicts(
            others.pop(""),
            others.pop("task", None),
            floor=find(metric).floor,
            shares=find(metric).shares,
            groups=self.samples.groups[of],
            seed=self.request.seed,
            others=others,
            beside=[name for name in others if name != RANDOM_SET and not is_real(name, direction="denoise")],
        )

    def _every(self, metric: str) -> dict[str, dict[str, Array]]:
        """Effects by control ("" for the vector's own) and patch."""
        found = {"": self._effects("effect", metric)}
        for name in self.controls:
            role = role_of(name)
            theirs = self._effects(role, metric)
            named = {variant(role, patch): patch for patch in found[""]}
            found[name] = {named[patch]: effect for patch, effect in theirs.items() if patch in named}
        return found

    def _effects(self, role: str, metric: str) -> dict[str, Array]:
        if (role, metric) not in self._swept:
            view, n = find(metric), len(self.samples.rows)
            bare = by_patch(self.table, role="effect", site=drawing.STREAM, samples=n).get("")
            rows = by_patch(self.table, role=role, site=drawing.STREAM, samples=n)
            found = {} if bare is None else {name: view.effect(one, bare) for name, one in rows.items() if name}
            self._swept[role, metric] = found
        return self._swept[role, metric]

    @cached_property
    def _swept(self) -> dict[tuple[str, str], dict[str, Array]]:
        """Cache of effects by role and metric."""
        return {}

    def detail(self, patch: str, metric: str = PRIMARY) -> list[dict[str, Any]]:
        """Each sample under one set: effect, and the top tokens before and after as (token, share) pairs."""
        return detail(self.table, self.samples, site=drawing.STREAM, patch=patch, metric=metric)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The map of the carriers, and the curve of the sets."""
        return ("carriers", "sets") if self.sizes else ("carriers",)

    def figures(self, metric: str = PRIMARY) -> dict[str, dict[str, Any]]:
        """Both as they would be printed, a Vega-Lite spec by name."""
        return drawing.figures(self, metric)

    def drawn(self, metric: str = PRIMARY) -> Iterator[Plotted]:
        """What they show, a number at a time."""
        return drawing.drawn(self, metric)

    def summary(self, metric: str = PRIMARY) -> dict[str, Any]:
        """The receipt, the total effect, what passes through each carrier, through the strongest together, and through
        all."""
        total, everything = self.total(metric), self.everything(metric)
        return {
            **self.receipt,
            "metric": metric,
            "population": self.samples.population,
            "total": None if total is None else total.plain(),
            "carriers": [one.told() for one in self.cells(metric)],
            "together": [one.told() for one in self.together(metric)],
            "everything": None if everything is None else everything.told(),
        }
