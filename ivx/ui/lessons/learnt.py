"""The lesson on the real family: does it follow, where does the vector act, and who learnt, the vector or its readers?

Its answers are read off the stored runs; where these are not there, the lesson says how they are had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

import streamlit as st

from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.compare.text import says
from ivx.analyses.family import Family
from ivx.analyses.place import search
from ivx.analyses.place.drawing import strips
from ivx.analyses.place.result import Place
from ivx.charts.numbers import signed
from ivx.charts.place import place_chart
from ivx.charts.readers import reader_curve
from ivx.errors import IvxError
from ivx.jobs.compute import id_of
from ivx.jobs.worker import worker
from ivx.patching import gate
from ivx.patching.positions import taken
from ivx.request import BaseRequest
from ivx.stats.following import Following, percent
from ivx.stats.metrics import find
from ivx.ui.kit import family as kit
from ivx.ui.kit import pieces
from ivx.ui.lessons.answers import METRIC, Found
from ivx.ui.lessons.guesses import NOWHERE, Ask, Truth, ordered, truth
from ivx.ui.lessons.scenes import HIDDEN, Scene, Showing

HARDLY, HALF, FEW = 0.1, 0.5, 5
FOLLOWS = Ask("choice", (("hardly", "under 10 %"), ("some", "10 to 50 %"), ("most", "more than half")))
FROM = Ask(
    "choice",
    (
        ("first", "its first token"),
        ("before", "the one before the task’s last word"),
        ("keyword", "the task’s last word"),
        ("t_inst", "its very last token"),
        (NOWHERE, "none"),
    ),
)
READERS = Ask(
    "choice", (("none", "none by itself"), ("one", "one"), ("few", "two to five"), ("many", "more than five"))
)
TAUGHT = Ask(
    "choice",
    (("vector", "the vector"), ("both", "both"), ("readers", "its readers"), ("unknown", "it cannot be told")),
)


def further(family: Family) -> dict[str, BaseRequest]:
    """The transplants of the exchange, by `donor in receiver`; none while the place is not stored."""
    at = kit.anchored(family)
    if at is None:
        return {}
    store, task = worker().store, family.tasks[0]
    try:
        vectors = {name: id_of(store, family.vectors(name, task, at)) for name in family.names}
    except IvxError:  # a checkpoint that is neither here nor known
        return {}
    return {
        f"{donor} in {receiver}": family.transplant(receiver, task, at, vectors=vectors[donor])
        for _, donor, receiver in family.keys(task)
    }


def exchange_of(family: Family, found: Found) -> Exchange | None:
    """The exchange of those results; None where one is lacking."""
    task = family.tasks[0]
    there = {key: found.get(f"{key[1]} in {key[2]}") for key in family.keys(task)}
    if any(one is None for one in there.values()):
        return None
    return Exchange(family.names, (task,), {key: one for key, one in there.items() if one is not None})


def followed(result: Place) -> Following:
    """How many samples follow told and untold."""
    return Following(**(result.receipt.get(gate.FIELD) or {"both": 0, "told_only": 0, "bare_only": 0, "neither": 0}))


def follows(found: Found) -> Truth:
    """How often the earliest checkpoint does what it is told, beside the one that was taught."""
    before, after = followed(found["before"]), followed(found["place"])
    if not before.n or not after.n:
        return truth(["hardly"], [], "Nothing is counted here: no answer has a token of its own.")
    share = before.told.value
    key = "hardly" if share < HARDLY else "some" if share <= HALF else "most"
    said = [
        f"<b>{escape(found[name].request.checkpoint)}</b> told {one.told.told}, untold {one.bare.told}"
        for name, one in (("before", before), ("place", after))
    ]
    return truth([key], ordered(FOLLOWS, key), f"{'; '.join(said)} (n = {before.n}, first token).")


def same_token(result: Place, name: str) -> list[str]:
    """The answers that name the same token of every wording."""
    rows, alike = result.samples.rows, []
    for other, _ in FROM.options:
        try:
            if other != NOWHERE and all(taken(other, one) == taken(name, one) for one in rows):
                alike.append(other)
        except IvxError:  # a wording without such a token
            continue
    return alike


def taken_from(found: Found) -> Truth:
    """The token of the place; nowhere where no place was found."""
    result: Place = found["place"]
    place = kit.judged(result, METRIC).found
    if place is None or place.kind != "place":
        return truth([NOWHERE], [], f"No place was found; an effect of {result.least:.2f} would have been seen.")
    best, label = place.best, escape(result.label(result.best[0].pair))
    said = (
        f"<b>{label}</b>, layer {place.at.layer}: {signed(best.value, 2)} logits [{signed(best.low, 2)}, "
        f"{signed(best.high, 2)}], {signed(place.beyond, 2)} beyond the strongest control; {percent(place.followed)} "
        f"follow, told {percent(place.told)}, untold {percent(place.untold)}."
    )
    right = same_token(result, place.at.source_token) or [NOWHERE]
    return truth(right, [], said)


def read_by(found: Found) -> Truth:
    """How many blocks read the vector, each by a step beyond its control."""
    readers = kit.judged(found["place"], METRIC).readers
    if readers is None:
        return truth(["none"], [], "Nothing acts here that could be read.")
    count = len(readers.blocks)
    key = "none" if not count else "one" if count == 1 else "few" if count <= FEW else "many"
    named = kit.blocks(readers) or "no block"
    said = f"Put at layer {readers.layer}, it is read by <b>{named}</b>, of {len(readers.steps)} later ones."
    return truth([key], ordered(READERS, key), said)


@dataclass(frozen=True)
class WhoLearnt:
    """The rule of the last step: what the first step of the family taught."""

    family: Family

    def __call__(self, found: Found) -> Truth:
        exchange = exchange_of(self.family, found)
        changes = [] if exchange is None else exchange.changes(METRIC)
        if not changes:
            return truth(["unknown"], [], "These vectors have no control, so that nothing is judged.")
        parts = changes[0].parts
        key = parts.taught if parts.taught in dict(TAUGHT.options) else "unknown"
        said = f"{kit.stage(changes[0].before)} → {kit.stage(changes[0].after)}, n = {changes[0].n}: {says(parts)}"
        return truth([key], ordered(TAUGHT, key), f"{escape(said)} One training run: another may differ.")


@dataclass(frozen=True)
class Told(Scene):
    """The shares that follow, told and untold; the untaught checkpoint's only when it is revealed."""

    def draw(self, now: Showing) -> None:
        rows: list[tuple[str, float | None, str]] = []
        for name in ("before", "place"):
            result: Place | None = now.found.get(name)
            if result is None or not followed(result).n:
                continue
            one, who = followed(result), result.request.checkpoint
            shown = name == "place" or now.truth is not None
            rows.append((f"{who}, told", 100 * one.told.value if shown else None, now.palette.orange))
            rows.append((f"{who}, untold", 100 * one.bare.value if shown else None, now.palette.faint))
        pieces.head("Follows, per cent", "answer’s first token is the likeliest")
        st.html(f'<div class="ivx-card plain">{pieces.signed_bars(rows, least=100.0)}</div>')


@dataclass(frozen=True)
class Searched(Scene):
    """Source tokens by patched tokens, each a strip of layers; empty strips until it is revealed."""

    def draw(self, now: Showing) -> None:
        result: Place | None = now.found.get("place")
        pieces.head("Source token × patched token", "layers within each" if now.truth else HIDDEN)
        if result is None:
            return
        rows = result.samples.rows
        drawn = strips(result, METRIC)
        if now.truth is None:
            drawn = [one._replace(bars=one.bars[:0], followed=0.0, chosen=False) for one in drawn]
        chart = place_chart(
            drawn,
            sources=[(name, search.source_label(name, rows)) for name in result.sources],
            columns=[(column.label, search.offset_name(column, rows[0])) for column in result.columns],
            layers=result.layers,
            palette=now.palette,
            unit=find(METRIC).unit,
            alt_text="The search for the place" if now.truth else "The search for the place, not revealed",
        )
        st.vega_lite_chart(chart, theme=None, width="stretch")


@dataclass(frozen=True)
class Read(Scene):
    """The reader curve; an empty one until it is revealed."""

    def draw(self, now: Showing) -> None:
        result: Place | None = now.found.get("place")
        readers = None if result is None else kit.judged(result, METRIC).readers
        pieces.head("Read so far, block by block", "logits" if now.truth else HIDDEN)
        if readers is None or result is None:
            return
        if now.truth is not None:
            chart = kit.curve(readers, METRIC, now.palette)
        else:
            unit = find(METRIC).unit
            chart = reader_curve(
                [], layer=readers.layer, whole=readers.whole, unit=unit, palette=now.palette, height=kit.HEIGHT
            )
        st.vega_lite_chart(chart, theme=None, width="stretch")


@dataclass(frozen=True)
class Crossed(Scene):
    """Whose vector is read by whom; empty cells until it is revealed."""

    family: Family

    def draw(self, now: Showing) -> None:
        exchange = exchange_of(self.family, now.found)
        pieces.head("Vector × reader", "share that follows, effect in logits" if now.truth else HIDDEN)
        if exchange is None:
            return
        runs = tuple(one.run_id for one in exchange.transplants.values())
        cells, _ = kit.changes(exchange, runs, METRIC)
        chart = kit.matrix(exchange, cells, METRIC, now.palette, hidden=now.truth is None)
        st.vega_lite_chart(chart, theme=None, width="stretch")


def requests(family: Family) -> Mapping[str, BaseRequest]:
    """The searches of the checkpoint that was taught, and of the earliest one, on the first task."""
    return MappingProxyType({"place": family.anchor, "before": family.place(family.names[0], family.tasks[0])})


def crossed(family: Family) -> tuple[str, ...]:
    """The names of the transplants among a story's results."""
    return tuple(f"{donor} in {receiver}" for _, donor, receiver in family.keys(family.tasks[0]))
