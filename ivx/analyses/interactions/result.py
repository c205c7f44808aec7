"""The result of an interactions request: rows that give every metric, and what can be read from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.interactions.layout import drawn, drawn_parts, laid, laid_parts
from ivx.analyses.interactions.pairs import PairCell, TripleCell, shared, sign_of
from ivx.analyses.interactions.players import Player, Sets
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.restoration import PARTS, RestoredPair, given_back, terms
from ivx.analyses.interactions.terms import Effects, gains_of, mean_of, sums, terms_of
from ivx.charts.pairs import Laid, pair_figure
from ivx.formats.plotted import Plotted
from ivx.patching.cells import Cell
from ivx.patching.part import part_of
from ivx.patching.roles import controls_there, is_real, plain, role_of
from ivx.patching.table import by_patch, detail, level, numbers, rows_of
from ivx.stats import coalitions
from ivx.stats.intervals import ALPHA, split_half
from ivx.stats.metrics import find
from ivx.stats.published import published_p
from ivx.stats.verdict import Against, Verdict, verdicts
from ivx.tasks.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Interactions(Result[InteractionsRequest]):
    """A result: one row per sample × patch set × role, and everything needed to read it.

    `sets` holds the patch sets by size and address; `equals`, for those that equal a smaller set by an identity, its
    address and why. They have no rows of their own.
    """

    samples: Samples
    players: tuple[Player, ...]
    sets: dict[int, Sets]
    equals: dict[str, tuple[str, str]]
    estimates: dict[str, dict[str, float]] = field(default_factory=dict)

    def cells(self, metric: str = "contrast") -> list[PairCell]:
        """Every finished pair in the order of the players, then those that are estimated so far."""
        if metric not in self._read:
            self._read[metric] = self._cells(metric)
        return self._read[metric]

    @cached_property
    def _read(self) -> dict[str, list[PairCell]]:
        """Cache of pairs by metric: a page reads them several times, and a result never changes."""
        return {}

    @cached_property
    def _verdicts(self) -> dict[tuple[int, str], dict[str, Verdict]]:
        """Cache of the verdicts behind them, by size of set and metric."""
        return {}

    @property
    def controls(self) -> list[str]:
        """The controls that were run: those asked for, without `task` where there is no such task."""
        return controls_there(self.request.controls, self.samples)

    def against(self, metric: str = "contrast") -> dict[str, dict[str, Against]]:
        """J of each control by its name, for every finished pair or triple; p is adjusted over the sets of one size."""
        return {text: found.against for size in (2, 3) for text, found in self._judged(size, metric).items()}

    def _cells(self, metric: str) -> list[PairCell]:
        mine = self.effects("effect", metric)
        found = self._judged(2, metric)
        singles = self._judged(1, metric)
        pairs = {text: self._names(self.sets[2][text]) for text in found}
        gains = gains_of(
            pairs,
            mine,
            seed=self.request.seed,
            groups=self.samples.groups,
            shares=find(metric).shares,
            free=self.equals,
        )
        cells = []
        for text, j in found.items():
            one, two = self._names(self.sets[2][text])
            gain, gain_low, p_gain = gains[text]
            reason = self.equals.get(text, ("", ""))[1]
            strict = not reason and j.low > 0 and j.p < ALPHA and gain_low > 0 and p_gain < ALPHA
            cells.append(
                PairCell(
                    first=one,
                    second=two,
                    patch=text,
                    **shared(j, reason),
                    single_first=singles[one].value,
                    single_second=singles[two].value,
                    both=mean_of(mine[text]),
                    gain=gain,
                    gain_low=gain_low,
                    strict=strict,
                    signs=sign_of(singles[one]) + sign_of(singles[two]),
                    n=len(self.samples.rows),
                )
            )
        estimates = self.estimates.get(metric, {})
        for text, chosen in self.sets[2].items():
            if text in estimates and text not in found:
                one, two = self._names(chosen)
                reason = self.equals.get(text, ("", ""))[1]  # follows from the two alone, so nothing is estimated
                shade = 0.0 if reason else estimates[text]
                cells.append(PairCell(one, two, text, *(shade,) * 3, degenerate=reason))
        return cells

    def parts(self, metric: str = "contrast") -> list[RestoredPair]:
        """The two parts of every finished pair's J, where restored pairs were asked for; else of none."""
        if metric not in self._parted:
            self._parted[metric] = self._parts(metric)
        return self._parted[metric]

    @cached_property
    def _parted(self) -> dict[str, list[RestoredPair]]:
        """Cache of the parts by metric."""
        return {}

    def _parts(self, metric: str) -> list[RestoredPair]:
        mine = self.effects("effect", metric)
        known = set(mine).intersection(*self._controlled(metric).values())
        owns = given_back(self.sets[2]) if self.request.restored else {}
        done = {pair: own for pair, own in owns.items() if known.issuperset((pair, own, *pair.split(",")))}
        judged = {
            part: self._apart({pair: terms(part, pair, own, self.equals) for pair, own in done.items()}, metric)
            for part in PARTS
        }
        return [
            RestoredPair(
                patch=pair,
                own=own,
                left=mean_of(mine[own]),
                restored=judged["restored"][pair],
                lost=judged["lost"][pair],
                degenerate=self.equals.get(pair, ("", ""))[1],
                n=len(self.samples.rows),
            )
            for pair, own in done.items()
        ]

    @property
    def part(self) -> str:
        """What part of the model played, in a sentence; empty for all of it."""
        return part_of({"layers": self.request.layers, "heads": self.request.heads}, self.layers)

    def notes(self, metric: str = "contrast") -> list[str]:
        """What J holds beside an interaction and what part of the model played, a sentence each."""
        return [*self.request.notes(metric), *filter(None, [self.part])]

    def laid(self, metric: str = "contrast", *, show: str = "j") -> Laid:
        """The pairs on a map: `show` is `j`, `both` or `gain`, whose state is J's in any case; or `restored` or `lost`,
        a part of J in its own state."""
        if show in PARTS:
            return laid_parts(self.parts(metric), self.players, self.request, show)
        return laid(self.cells(metric), self.players, self.request, show=show)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The pair map, and where they were asked for those of J's parts."""
        return ("pairs", *PARTS) if self.request.restored else ("pairs",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The maps as they would be printed, a Vega-Lite spec by name."""
        view, of = find(metric), f"{', '.join(self.request.sites)}: {find(metric).label}"
        titles = {"pairs": f"Interaction J of {of}", "restored": f"J° of {of}", "lost": f"Taken by overwriting, {of}"}
        return {
            name: pair_figure(
                self.laid(metric, show="j" if name == "pairs" else name), title=titles[name], unit=view.unit
            )
            for name in self.figure_names
        }

    def triples(self, metric: str = "contrast") -> list[TripleCell]:
        """Every finished triple; none where pairs were asked for."""
        mine = self.effects("effect", metric)
        return [
            TripleCell(
                players=self._names(self.sets[3][text]),  # type: ignore[arg-type]  # a set of size 3
                patch=text,
                **shared(j, self.equals.get(text, ("", ""))[1]),
                together=mean_of(mine[text]),
                n=len(self.samples.rows),
            )
            for text, j in self._judged(3, metric).items()
        ]

    def singles(self, metric: str = "contrast") -> list[Cell]:
        """Every finished player alone, as a cell of an effect map; `column` is its number among the players."""
        found = self._judged(1, metric)
        return [
            Cell.of(player.site, player.layer, i, player.address, found[player.address], n=len(self.samples.rows))
            for i, player in enumerate(self.players)
            if player.address in found
        ]

    def confirmed(self, metric: str = "contrast", *, keep: int = 5) -> dict[str, Verdict]:
        """The `keep` pairs of largest |J| on a random half of the samples, judged on the other half alone.

        Pairs that are chosen for being large and tested on the same samples always pass; these need not.
        """
        mine = self.effects("effect", metric)
        texts = [text for text in self._judged(2, metric) if text not in self.equals]
        if not texts or len(self.samples.rows) < 2:
            return {}
        found = split_half(
            sums(self._counted(texts), mine), keep=keep, seed=self.request.seed, groups=self.samples.groups
        )
        chosen = self._counted([texts[i] for i in found.cells])
        return self._compared(chosen, mine, self._controlled(metric), metric, of=found.rest)

    def additivity(self, metric: str = "contrast") -> float | None:
        """R² of each sample's best additive model over the sets that were run, all samples together; 1 is linear.

        None until more sets are done than the model has terms.
        """
        mine = self.effects("effect", metric)
        members = {text: chosen for found in self.sets.values() for text, chosen in found.items()}
        texts = [text for text in members if text in mine and text not in self.equals]
        if len(texts) <= len(self.players):
            return None
        games = np.stack([np.zeros(len(self.samples.rows)), *(mine[text] for text in texts)], axis=1)
        return coalitions.additivity([(), *(members[text] for text in texts)], games, players=len(self.players))

    def published_test(self, metric: str = "contrast") -> dict[str, float]:
        """By pair, the p of the paper's own script; it passes whatever the data are (`ivx.stats.published`)."""
        mine = self.effects("effect", metric)
        names = {text: self._names(chosen) for text, chosen in self.sets[2].items() if text in mine}
        return {text: published_p(mine[text], mine[one] + mine[two]) for text, (one, two) in names.items()}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); estimates are left out."""
        yield from drawn(self.cells(metric), self.laid(metric), self.players, metric)
        yield from drawn_parts(self.parts(metric), self.players, metric)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The result in short, ready for JSON: the receipt, then singles, pairs and triples with their controls."""
        against = self.against(metric)

        def told(cell: PairCell | TripleCell) -> dict[str, Any]:
            controls = {name: of._asdict() for name, of in against.get(cell.patch, {}).items()}
            bent = {"removable": cell.removable} if isinstance(cell, PairCell) and self.request.bends(metric) else {}
            return asdict(cell) | {"controls": controls, **bent}

        return {
            **self.receipt,
            "metric": metric,
            "additivity": self.additivity(metric),
            "population": self.samples.population,
            "notes": self.notes(metric),
            "singles": [asdict(cell) for cell in self.singles(metric)],
            "pairs": [told(cell) for cell in self.cells(metric)],
            "triples": [told(cell) for cell in self.triples(metric)],
            **({"restored": [pair.told() for pair in self.parts(metric)]} if self.request.restored else {}),
        }

    def effects(self, role: str, metric: str = "contrast") -> Effects:
        """Effects of every finished set in one role, sets that equal a smaller one included."""
        view = find(metric)
        rows = by_patch(self.table, role=role, site=",".join(self.request.sites), samples=len(self.samples.rows))
        if "" not in rows:
            return {}
        found = {plain(text): view.effect(numbers, rows[""]) for text, numbers in rows.items()}
        return found | {text: found[other] for text, (other, _) in self.equals.items() if other in found}

    def values(self, metric: str = "contrast", *, role: str = "effect") -> Effects:
        """J `[samples]` of every finished pair in one role, except those that follow from the singles alone."""
        mine = self.effects(role, metric)
        texts = [
            t
            for t, chosen in self.sets[2].items()
            if t not in self.equals and terms_of(self._names(chosen), self.equals).keys() <= mine.keys()
        ]
        return dict(zip(texts, sums(self._counted(texts), mine), strict=True)) if texts else {}

    def detail(self, patch: str, metric: str = "contrast") -> list[dict[str, Any]]:
        """Each sample under one set: effect, and the top tokens before and after as (token, share) pairs."""
        site, ran = ",".join(self.request.sites), self.equals.get(patch, (patch, ""))[0]
        return detail(self.table, self.samples, site=site, patch=ran, metric=metric)

    def level(self, metric: str, *, patch: str = "") -> float | None:
        """Mean of the metric itself, not of its change, under one set."""
        site, ran = ",".join(self.request.sites), self.equals.get(patch, (patch, ""))[0]
        rows = rows_of(self.table, role="effect", site=site, patch=ran)
        return level(numbers(rows), metric)

    def _controlled(self, metric: str) -> dict[str, Effects]:
        """The effects of every control, by its name."""
        return {name: self.effects(role_of(name), metric) for name in self.controls}

    def _names(self, chosen: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.players[i].address for i in chosen)

    def _counted(self, texts: Sequence[str]) -> dict[str, dict[str, int]]:
        """The terms of some sets' interactions."""
        chosen = {text: found[text] for text in texts for found in self.sets.values() if text in found}
        return {text: terms_of(self._names(players), self.equals) for text, players in chosen.items()}

    def _judged(self, size: int, metric: str) -> dict[str, Verdict]:
        """Verdicts on the interactions of one size (of single players: on their effects), where all parts are done."""
        if (size, metric) in self._verdicts:
            return self._verdicts[size, metric]
        mine, theirs = self.effects("effect", metric), self._controlled(metric)
        known = set(mine).intersection(*theirs.values())
        terms = {text: terms_of(self._names(chosen), self.equals) for text, chosen in self.sets.get(size, {}).items()}
        done = [text for text, counted in terms.items() if counted.keys() <= known]
        found = self._apart({text: terms[text] for text in done}, metric)
        return self._verdicts.setdefault((size, metric), {text: found[text] for text in done})

    def _apart(self, terms: Mapping[str, Mapping[str, int]], metric: str) -> dict[str, Verdict]:
        """Verdicts on sums of effects over all samples; sets that equal a smaller one are judged apart: they are no
        part of the family that p is adjusted over."""
        mine, theirs = self.effects("effect", metric), self._controlled(metric)
        found: dict[str, Verdict] = {}
        for free in (False, True):
            some = {text: counted for text, counted in terms.items() if (text in self.equals) == free}
            found |= self._compared(some, mine, theirs, metric)
        return found

    def _compared(
        self,
        terms: Mapping[str, Mapping[str, int]],
        mine: Effects,
        theirs: dict[str, Effects],
        metric: str,
        *,
        of: Any = slice(None),
    ) -> dict[str, Verdict]:
        """Verdicts on sums of effects, by name, against every control's, over the samples `of`."""
        if not terms:
            return {}
        others = {name: sums(terms, effects)[:, of] for name, effects in theirs.items()}
        judged = verdicts(
            sums(terms, mine)[:, of],
            others.pop("task", None),
            floor=find(metric).floor,
            shares=find(metric).shares,
            groups=self.samples.groups[of],
            seed=self.request.seed,
            others=others,
            beside=[name for name in others if not is_real(name, direction="denoise")],
        )
        return dict(zip(terms, judged, strict=True))
