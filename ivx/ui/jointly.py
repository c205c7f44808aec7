"""The view of pairs: the interaction map of each checkpoint, and what each stage changes in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ivx.analysis.differences import interaction_differences
from ivx.analysis.metrics import find
from ivx.analysis.together import Interactions
from ivx.analysis.verdict import Verdict
from ivx.charts.heatmap import scale_of, signed
from ivx.charts.pairs import DEGENERATE, HARMFUL, STRICT, Pair, pair_map
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.ui import parts, stages, view
from ivx.ui.readings import pair_reading
from ivx.ui.stages import ROW, Asked, Views, difference, key, stage

GLYPHS = {STRICT: "beats the sum and the better one", HARMFUL: "two harmful patches", DEGENERATE: "degenerate"}
HASH: dict[str | type[Any], Callable[[Any], Any]] = {Interactions: lambda r: (r.run_id, r.table.num_rows)}


def draw(asked: Asked, requests: dict, views: Views, p: Palette) -> None:
    """Pair maps in a row, their differences under them."""
    found = {name: stages.result(views, "interactions", name) for name in asked.names}
    there = {name: result for name, result in found.items() if result is not None}
    maps = {name: _pairs(result, asked.metric) for name, result in there.items()}
    differences: dict[str, list[Pair]] = {}
    refused: dict[str, str] = {}
    for step in asked.steps:
        if all(name in there for name in step):
            try:
                differences[step[1]] = _differences(there[step[0]], there[step[1]], asked.metric)
            except IvxError as error:
                refused[step[1]] = str(error)
    every = [pair for pairs in (*maps.values(), *differences.values()) for pair in pairs]
    scale = scale_of([pair.value for pair in every if pair.state != "zero"])
    chosen = _chosen(maps)
    parts.title("When do layers begin to act together?", _lede(maps, chosen))
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    for k, (name, place) in enumerate(zip(asked.names, places, strict=True)):
        with place:
            parts.head(stage(name), stages.status(views[key("interactions", name)], "J, later × earlier layer"))
            _map(there.get(name), maps.get(name, []), scale, chosen, p, name=name, first=k == 0)
            live = (now := views[key("interactions", name)]) is not None and now.live
            parts.reading("" if live or name not in maps else pair_reading(maps[name], unit="", what="J"))
    pending = any(pair.state == "estimate" for pair in every)
    parts.legend(p, scale, find(asked.metric).unit, pending=pending, ends=("less", "more than the sum"), glyphs=GLYPHS)
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    with places[0]:
        _card(asked, maps, differences, chosen, p)
        stages.stop(views, requests)
    for step, place in zip(asked.steps, places[1:], strict=True):
        with place:
            parts.head(difference(step), "J, paired over the same samples")
            if step[1] in refused:
                parts.refusal("No difference", refused[step[1]], "Compare checkpoints of one family.")
                continue
            pairs = differences.get(step[1], [])
            _map(there.get(step[1]), pairs, scale, chosen, p, name=f"difference-{step[1]}", first=False)
            parts.reading(_reading(pairs))
    stages.trouble(views, requests)
    stages.foot(asked, list(there.values()))
    stages.to_url(asked)


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs=HASH)
def _pairs(result: Interactions, metric: str) -> list[Pair]:
    return result.pairs(metric)


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs=HASH)
def _differences(before: Interactions, after: Interactions, metric: str) -> list[Pair]:
    layer = {player.address: player.layer for player in after.players}
    found = []
    for patch, verdict in interaction_differences(before, after, metric).items():
        low, high = sorted(layer[address] for address in patch.split(","))
        found.append(Pair(low, high, patch, verdict.value, verdict.state, "", _told(low, high, verdict)))
    return found


def _told(low: int, high: int, verdict: Verdict) -> str:
    control = "" if verdict.control is None else f", control {signed(verdict.control, 2)}"
    return (
        f"L{low}, L{high}: {signed(verdict.value, 2)} [{signed(verdict.low, 2)}, {signed(verdict.high, 2)}], "
        f"adjusted p {verdict.p:.4f}{control}"
    )


def _chosen(maps: dict[str, list[Pair]]) -> str:
    """The clicked pair's patch, or the address bar's, or that of the strongest finding."""
    done = [pair for pairs in maps.values() for pair in pairs if pair.state != "estimate"]
    asked = view.from_url("pair", "")
    if any(pair.patch == asked for pair in done):
        return asked
    best = max(done, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)
    return "" if best is None else best.patch


def _lede(maps: dict[str, list[Pair]], chosen: str) -> str:
    what = "J(a, b) = effect of patching both layers at the first token − the sum of the effects of the two alone."
    counts = [
        f"{stage(name)} <b>{sum(pair.state == 'ok' for pair in pairs)}</b>"
        for name, pairs in maps.items()
        if not any(pair.state == "estimate" for pair in pairs)
    ]
    return f"{what} Pairs that beat their control: {', '.join(counts)}." if counts else what


def _map(
    result: Interactions | None, pairs: list[Pair], scale: float, chosen: str, p: Palette, *, name: str, first: bool
) -> None:
    layers = result.layers if result is not None else 8
    chart = pair_map(
        pairs,
        layers=layers,
        scale=scale,
        palette=p,
        chosen=next((pair for pair in pairs if pair.patch == chosen), None),
        row=ROW + 4 if layers <= 16 else 12,
        row_labels=first,
    )
    if result is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    key = f"jointly-{name}-{result.run_id}"

    def picked() -> None:
        points = st.session_state[key]["selection"].get("cell") or []
        for pair in pairs:
            if points and (pair.high, pair.low) == (int(points[0]["layer"]), int(points[0]["column"])):
                st.session_state["pair"] = pair.patch

    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=picked, selection_mode="cell")


def _card(
    asked: Asked, maps: dict[str, list[Pair]], differences: dict[str, list[Pair]], chosen: str, p: Palette
) -> None:
    """J of the marked pair in every checkpoint, and every difference there."""
    rows = [(stage(name), pair) for name, pairs in maps.items() for pair in pairs if pair.patch == chosen]
    rows += [
        (difference(step), pair)
        for step in asked.steps
        for pair in differences.get(step[1], [])
        if pair.patch == chosen
    ]
    if not rows:
        parts.head("One pair", "nothing is computed yet")
        return
    parts.head(f"Layers {rows[0][1].low} and {rows[0][1].high}", "J with its interval")
    for name, pair in rows:
        parts.note(f"{name}: {pair.told.partition(': ')[2]}")


def _reading(pairs: list[Pair]) -> str:
    found = sorted((pair for pair in pairs if pair.state == "ok"), key=lambda pair: -abs(pair.value))
    if not pairs:
        return ""
    if not found:
        return "No pair’s J differs by more than with another task’s vectors: no evidence of a change."
    top = found[0]
    return f"Largest: <b>L{top.low} with L{top.high}, {signed(top.value, 2)}</b>; {len(found)} pairs change."
