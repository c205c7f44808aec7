"""The view of pairs: the interaction map of each checkpoint, and what each stage changes in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from ivx.analyses.compare.differences import interaction_differences
from ivx.analyses.compare.result import Member
from ivx.analyses.interactions.result import Interactions
from ivx.charts.numbers import scale_of, signed
from ivx.charts.pairs import DEGENERATE, MARKS, STRICT, Laid, Pair, layers_laid, pair_map
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict
from ivx.ui.interactions.card import pair_reading
from ivx.ui.kit import address, checkpoints, clicks, pieces
from ivx.ui.kit.evidence import shown_p
from ivx.ui.training import stages, table
from ivx.ui.training.place import in_url
from ivx.ui.training.readings import pair_difference_reading
from ivx.ui.training.stages import ROW, Comparing, Views, difference, key, stage
from ivx.ui.training.table import Row

HASH: dict[str | type[Any], Callable[[Any], Any]] = {Interactions: lambda r: (r.run_id, r.table.num_rows)}


def draw(asked: Comparing, requests: dict, views: Views, p: Palette) -> None:
    """Pair maps in a row, their differences under them."""
    found = {name: stages.result(views, "interactions", name) for name in asked.names}
    there = {name: result for name, result in found.items() if result is not None}
    maps = {name: _laid(result, asked.metric) for name, result in there.items()}
    differences: dict[str, Laid] = {}
    refused: dict[str, str] = {}
    for step in asked.steps:
        if all(name in there for name in step):
            try:
                differences[step[1]] = _differences(there[step[0]], there[step[1]], asked.metric)
            except IvxError as error:
                refused[step[1]] = str(error)
    every = [pair for laid in (*maps.values(), *differences.values()) for pair in laid.pairs]
    scale = scale_of([pair.value for pair in every if pair.state != "zero"])
    chosen = _chosen(maps)
    pieces.title("When do layers begin to act together?", _lede(maps))
    pieces.distrust(*(result.receipt for result in there.values()))
    if not there:
        stages.blank(asked, requests, views, about="Every layer alone and every pair of them, each beside its control.")
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    for k, (name, place) in enumerate(zip(asked.names, places, strict=True)):
        with place:
            pieces.head(stage(name), stages.status(views[key("interactions", name)], "J, later × earlier layer"))
            _map(there.get(name), maps.get(name), scale, chosen, p, name=name, first=k == 0)
            live = (now := views[key("interactions", name)]) is not None and now.live
            pieces.reading(
                ""
                if live or name not in maps
                else pair_reading(
                    maps[name].pairs,
                    unit=find(asked.metric).unit,
                    n=len(there[name].samples.rows),
                    controlled=bool(there[name].controls),
                ),
                there[name].receipt if name in there else {},
            )
    pending = any(pair.state == "estimate" for pair in every)
    pieces.legend(p, scale, find(asked.metric).unit, pending=pending, ends=("less", "more than the sum"), glyphs=MARKS)
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    with places[0]:
        _card(asked, there, differences, chosen, p)
        stages.stop(views, requests)
    for step, place in zip(asked.steps, places[1:], strict=True):
        with place:
            pieces.head(difference(step), "J, paired", more="difference of J over the same samples")
            if step[1] in refused:
                pieces.refusal("No difference", refused[step[1]], "Compare checkpoints of one family.")
                continue
            laid = differences.get(step[1])
            _map(there.get(step[1]), laid, scale, chosen, p, name=f"difference-{step[1]}", first=place is places[1])
            pieces.reading(pair_difference_reading(laid.pairs) if laid else "")
    if there:
        stages.trouble(views, requests)
    members = [Member(name, interactions=result) for name, result in there.items()]
    stages.foot(asked, list(there.values()), members, views)
    stages.to_url(asked, **in_url(asked))


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs=HASH)
def _laid(result: Interactions, metric: str) -> Laid:
    laid = result.laid(metric)
    # A pair not different from 0 may still beat its sum; beside other checkpoints that mark would mislead.
    mute = [replace(q, glyph="") if q.state == "zero" and q.glyph == STRICT else q for q in laid.pairs]
    return replace(laid, pairs=tuple(mute))


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs=HASH)
def _judged(before: Interactions, after: Interactions, metric: str) -> dict[str, Verdict]:
    return interaction_differences(before, after, metric)


def _differences(before: Interactions, after: Interactions, metric: str) -> Laid:
    """The pairs of a difference map; those that follow from the singles alone keep their mark."""
    judged = _judged(before, after, metric)
    found = []
    laid = _laid(after, metric)
    for pair in laid.pairs:
        verdict = judged.get(pair.patch)
        if verdict is not None:
            told = _tooltip(pair, verdict)
            found.append(replace(pair, value=verdict.value, state=verdict.state, glyph="", told=told))
        elif pair.glyph == DEGENERATE:
            found.append(replace(pair, value=0.0))
    return replace(laid, pairs=tuple(found))


def _tooltip(pair: Pair, verdict: Verdict) -> str:
    control = "" if verdict.control is None else f", control {signed(verdict.control, 2)}"
    return (
        f"{pair.name}: {signed(verdict.value, 2)} [{signed(verdict.low, 2)}, {signed(verdict.high, 2)}], "
        f"adjusted p {shown_p(verdict.p)}{control}"
    )


def _chosen(maps: dict[str, Laid]) -> str:
    """The clicked pair's patch, or the address bar's, or that of the strongest finding."""
    done = [pair for laid in maps.values() for pair in laid.pairs if pair.state != "estimate"]
    asked = address.from_url("pair", "")
    if any(pair.patch == asked for pair in done):
        return asked
    best = max(done, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)
    return "" if best is None else best.patch


def _lede(maps: dict[str, Laid]) -> str:
    what = "J(a, b) = effect of patching both layers at the first token − the sum of the effects of the two alone."
    counts = [
        f"{stage(name)} <b>{sum(pair.state == 'ok' for pair in laid.pairs)}</b>"
        for name, laid in maps.items()
        if not any(pair.state == "estimate" for pair in laid.pairs)
    ]
    return f"{what} Pairs that beat their control: {', '.join(counts)}." if counts else what


def _map(
    result: Interactions | None, laid: Laid | None, scale: float, chosen: str, p: Palette, *, name: str, first: bool
) -> None:
    laid = laid or layers_laid(
        (), result.layers if result is not None else checkpoints.rows_of(name.removeprefix("difference-"))
    )
    chart = pair_map(
        laid,
        scale=scale,
        palette=p,
        chosen=next((pair for pair in laid.pairs if pair.patch == chosen), None),
        row=ROW + 4 if len(laid.rows) <= 16 else 12,
        labels=first,
    )
    if result is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    pairs = laid.pairs

    def picked(point: Mapping[str, Any]) -> None:
        for pair in pairs:
            if (pair.row, pair.column) == (int(point["layer"]), int(point["column"])):
                st.session_state["pair"] = pair.patch

    clicks.chart(chart, key=f"jointly-{name}-{result.run_id}", picked=picked)


def _card(
    asked: Comparing, there: dict[str, Interactions], differences: dict[str, Laid], chosen: str, p: Palette
) -> None:
    """J of the marked pair in every checkpoint, and every difference there."""
    colours = asked.colours(p)
    cells = {
        name: cell
        for name, result in there.items()
        for cell in result.cells(asked.metric)
        if cell.patch == chosen and cell.state != "estimate"
    }
    if not cells:
        pieces.head("One pair", "nothing is computed yet")
        return
    pair = next(q for result in there.values() for q in _laid(result, asked.metric).pairs if q.patch == chosen)
    pieces.head(f"Layers {pair.low} and {pair.high}", "J, 95% intervals")
    rows = [Row(stage(name), c.j, c.low, c.high, c.control_j, c.p, c.state, colours[name]) for name, c in cells.items()]
    changed = {
        difference(step): verdict
        for step in asked.steps
        if step[1] in differences and (verdict := _judged(there[step[0]], there[step[1]], asked.metric).get(chosen))
    }
    rows += [Row.of(name, verdict, p.muted) for name, verdict in changed.items()]
    table.table(rows)
    table.unsure(changed)
