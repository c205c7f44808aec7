"""The Interactions page's parts: one layer alone, both together, and the card of the chosen pair."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analysis.metrics import METRICS, find
from ivx.analysis.played import Game
from ivx.analysis.together import Interactions
from ivx.charts.heatmap import heatmap, scale_of, signed
from ivx.charts.pairs import DEGENERATE, HARMFUL, STRICT, Pair, pair_map
from ivx.charts.palette import Palette
from ivx.charts.scatter import Point, scatter
from ivx.charts.strip import Bar, strip
from ivx.runs.job import View
from ivx.runs.patching import GameRequest, InteractionsRequest
from ivx.runs.request import Request
from ivx.ui import evidence, exports, jobs, parts, pickers, view
from ivx.ui.readings import pair_reading

SAMPLES = 100
GAME_SAMPLES = 20
SHOW = {"j": "J", "both": "both", "gain": "gain"}
GAMES = {"stream": "stream", "read": "keys, values"}
ROW = 50
COLUMNS = [0.62, 2.1, 1.5]
GLYPHS = {STRICT: "beats the sum and the better one", HARMFUL: "two harmful patches", DEGENERATE: "degenerate"}


def controls() -> tuple[Request | None, str, str]:
    """The strip: checkpoint, task, what is shown, and which game; of a stored run, what is shown alone."""
    view.from_url("show", "j", list(SHOW))
    if view.from_url(view.RUN, ""):
        kind = "game" if _is_game(None) else "interactions"
        place = view.run_strip(kind, lambda asked: f"{asked.checkpoint} · {asked.task} · {asked.samples} samples")
        return None, "j" if kind == "game" else _show(place), pickers.metric_now()
    one, two, three, four = st.columns([1.3, 1.05, 0.8, 1.0], gap="medium", vertical_alignment="bottom")
    checkpoint, task = pickers.checkpoint_and_task(one, two)
    view.from_url("game", "stream", list(GAMES))
    game = four.segmented_control(
        "Game",
        list(GAMES),
        key="game",
        format_func=lambda g: GAMES[g],
        required=True,
        width="stretch",
        help="Whole stream: the first token’s state is replaced after a layer, so a later patch overwrites an earlier "
        "one. Keys, values: later tokens read the first token’s keys and values from the instructed run, layer by "
        "layer; nothing is overwritten, and the interaction is Shapley’s.",
    )
    show = _show(three) if game == "stream" else "j"
    if game == "read":
        three.html('<div class="ivx-note">Shapley interaction</div>')
        return GameRequest(checkpoint, task, samples=GAME_SAMPLES, **view.loading(checkpoint)), show, "contrast"  # type: ignore[arg-type]
    request = InteractionsRequest(checkpoint, task, samples=SAMPLES, **view.loading(checkpoint))  # type: ignore[arg-type]
    return request, show, pickers.metric_now()


def _is_game(request: Request | None) -> bool:
    """Whether the clean game is asked for, or the stored run in its place is one."""
    return isinstance(request, GameRequest) or (request is None and view.stored_run("game") is not None)


def _show(place: DeltaGenerator) -> str:
    return str(
        place.segmented_control(
            "Show",
            list(SHOW),
            key="show",
            format_func=lambda s: SHOW[s],
            required=True,
            width="stretch",
            help="J: effect of both minus the sum of the two alone. Both: of the two. Gain: over the better one.",
        )
        or "j"
    )


def show(request: Request | None, what: str, metric: str, p: Palette) -> None:
    """The maps of a request as they fill, or a stored run's."""
    if request is None:
        found = view.stored_run("interactions") or view.stored_run("game")
        if found is not None:
            rows = found.table.num_rows
            _draw(found.request, what, metric, View("done", rows, rows, None, found, "", "", stored=True), p)
            view.to_url(run=found.run_id, show=what, metric=metric, pair=view.from_url("pair", ""))
        return

    def draw(now: View) -> None:
        _draw(request, what, metric, now, p)
        view.to_url(
            checkpoint=request.checkpoint,
            task=request.task,
            show=what,
            metric=metric,
            game="read" if isinstance(request, GameRequest) else "",
            pair=view.from_url("pair", ""),
        )

    jobs.follow(request, draw=draw, empty=lambda: _empty(request))


def _empty(request: Request) -> None:
    parts.head("Both layers", "nothing asked yet")
    st.write(f"{request.samples} samples, every layer alone and every pair of layers, each with its control.")
    if st.button("Run the pairs", type="primary"):
        view.start(request)
        st.rerun()


def _draw(request: Request, what: str, metric: str, now: View, p: Palette) -> None:
    result = now.result
    if result is None or (isinstance(result, Game) and now.live):
        _waiting(request, now, p)
        return
    parts.distrust(result.receipt)
    bars, pairs = _read(result, what, metric)
    chosen = _chosen(pairs)
    scale = scale_of([pair.value for pair in pairs if pair.state != "zero"])
    unit = find(metric).unit
    left, middle, right = st.columns(COLUMNS, gap="medium")
    marked = (chosen.low, chosen.high) if chosen is not None else ()
    with left:
        parts.head("One layer", "alone")
        chart = strip(
            bars,
            layers=result.layers,
            palette=p,
            row=_row(result),
            marked=marked,
            alt_text="Effect of each layer alone",
        )
        st.vega_lite_chart(chart, theme=None, width="stretch")
    with middle:
        parts.head(
            f"Both layers: {_name(result, what)}", jobs.status(now) if now.live else "later layer × earlier layer"
        )
        _map(result, pairs, scale, chosen, p)
        if not now.live:
            parts.reading(pair_reading(pairs, unit=unit, what=_name(result, what)))
        parts.legend(
            p,
            scale,
            unit,
            pending=any(pair.state == "estimate" for pair in pairs),
            ends=("less", "more"),
            glyphs=GLYPHS,
        )
    with right:
        if now.live:
            jobs.running(request, now)
        if now.state == "stopped":
            jobs.stopped(request)
        if chosen is not None and chosen.state != "estimate":
            _card(result, chosen, metric, p)
        _scatter(result, metric, p)
    trust, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        parts.trust(result.receipt, rows=f"n = {len(result.samples.rows)} · {result.table.num_rows:,} rows")
    if not now.live:
        with export:
            exports.offer(result, metric)
    for warning in result.samples.warnings:
        parts.note(warning)


def _waiting(request: Request, now: View, p: Palette) -> None:
    left, middle, right = st.columns(COLUMNS, gap="medium")
    with left:
        parts.head("One layer", "alone")
    with middle:
        parts.head("Both layers", jobs.status(now) if now.done else jobs.waiting(request, now))
        blank = heatmap([], [f"L{i}" for i in range(7)], layers=8, scale=1.0, palette=p, row=ROW, mono=False)
        st.vega_lite_chart(blank, theme=None, width="stretch")
    with right:
        if now.live:
            jobs.running(request, now)
        elif now.state == "stopped":
            jobs.stopped(request)


def _row(result: Interactions | Game) -> int:
    return ROW if result.layers <= 12 else 16


def _name(result: Interactions | Game, what: str) -> str:
    if isinstance(result, Game):
        return "Shapley interaction"
    return {"j": "interaction J", "both": "effect", "gain": "gain over the better one"}[what]


@st.cache_data(
    max_entries=100,
    show_spinner=False,
    hash_funcs={k: lambda r: (r.run_id, r.table.num_rows) for k in (Interactions, Game)},
)
def _read(result: Interactions | Game, what: str, metric: str) -> tuple[list[Bar], list[Pair]]:
    """The strip's bars and the map's pairs."""
    if isinstance(result, Game):
        alone = [Bar(i, v.value, v.low, v.high, v.state != "zero") for i, v in enumerate(result.shapley(metric))]
        return alone, result.pairs(metric)
    alone = [Bar(c.layer, c.value, c.low, c.high, c.state != "zero") for c in result.singles(metric)]
    return alone, result.pairs(metric, show=what)


def _chosen(pairs: list[Pair]) -> Pair | None:
    """The clicked pair, or the address bar's, or the strongest finding."""
    done = [pair for pair in pairs if pair.state != "estimate"]
    asked = view.from_url("pair", "")
    named = next((pair for pair in done if pair.patch == asked), None)
    return named or max(done, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)


def _map(result: Interactions | Game, pairs: list[Pair], scale: float, chosen: Pair | None, p: Palette) -> None:
    chart = pair_map(pairs, layers=result.layers, scale=scale, palette=p, chosen=chosen, row=_row(result))
    key = f"pairs-{result.run_id}"

    def picked() -> None:
        points = st.session_state[key]["selection"].get("cell") or []
        for pair in pairs:
            if points and (pair.high, pair.low) == (int(points[0]["layer"]), int(points[0]["column"])):
                st.session_state["pair"] = pair.patch

    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=picked, selection_mode="cell")


def _card(result: Interactions | Game, chosen: Pair, metric: str, p: Palette) -> None:
    if isinstance(result, Interactions):
        cell = next(c for c in result.cells(metric) if c.patch == chosen.patch)
        evidence.pair_card(result, cell, (chosen.low, chosen.high), metric, token=view.token_of(result), p=p)
        return
    found = result.interactions(metric)[chosen.low, chosen.high]
    alone = result.shapley(metric)
    rows = [(f"layer {i}", alone[i].value, alone[i].low, alone[i].high, p.muted) for i in (chosen.low, chosen.high)]
    reach = max(abs(end) for row in rows for end in row[1:4] if isinstance(end, float)) or 1.0
    said = evidence.SAID[found.state]
    st.html(
        '<div class="ivx-card" data-testid="ivx-card">'
        f'<div class="top"><b>Layers {chosen.low} and {chosen.high}</b></div>'
        f'<div class="row"><span class="big">{signed(found.value, 2)}</span><span class="soft">'
        f"{escape(METRICS[metric].unit)}, {said} · 95% CI [{signed(found.low, 2)}, {signed(found.high, 2)}] · "
        f"adjusted p {evidence.shown_p(found.p)} · n = {len(result.samples.rows)}</span></div>"
        f"<h6>Shapley value of each</h6>{parts.whisker(rows, p, scale=reach * 1.1)}"
        "<h6>Additivity of the whole game</h6>"
        f"<div>R² = {result.additivity(metric):.2f}; 1 would be linear.</div></div>"
    )


def _scatter(result: Interactions | Game, metric: str, p: Palette) -> None:
    """How far the second-order estimate is from what was computed."""
    if isinstance(result, Game) or metric not in result.estimates:
        return
    layer = {player.address: player.layer for player in result.players}
    points = [
        Point(result.estimates[metric][c.patch], c.j, f"{layer[c.first]}, {layer[c.second]}", c.state == "ok")
        for c in result.cells(metric)
        if c.state not in ("estimate", "degenerate") and c.patch in result.estimates[metric]
    ]
    if len(points) < 3:
        return
    r = float(np.corrcoef([q.estimate for q in points], [q.exact for q in points])[0, 1])
    verdict = "it orders them" if r > 0.7 else "the wrong way here" if r < -0.3 else "it misses them here"
    parts.head("Estimate against exact", f"second order, r = {signed(r, 2)}: {verdict}")
    st.vega_lite_chart(scatter(points, palette=p, unit="J"), theme=None, width="stretch")


def lede(request: Request | None) -> str:
    """The page's one sentence."""
    if _is_game(request):
        return (
            "Later tokens read the first token’s keys and values from the instructed run at some layers: how much more "
            "do two layers give in company than each alone, averaged over all companies?"
        )
    return "J(a, b) = effect of patching both layers at the first token − the sum of the effects of the two alone."
