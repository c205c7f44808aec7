"""Two instructions' flows side by side, and the chosen edge beneath: what a move of the slider, or a click, redraws."""

from __future__ import annotations

import streamlit as st

from ivx.analysis.drawing import Drawing, drawings
from ivx.analysis.explained import SIZES
from ivx.analysis.flow import Pathways
from ivx.charts.flow import flow, kind_colours
from ivx.charts.heatmap import signed
from ivx.charts.palette import Palette
from ivx.runs.job import View
from ivx.ui import jobs, parts, pathway_card, view
from ivx.ui.pathway_readings import flow_reading, name_of_task, percent, shared_reading, unit_of

COLUMNS = [1.13, 1.07]
EDGES = "20"
SIDES = ("here", "there")


def show(result: Pathways, now: View, p: Palette) -> None:
    """Both flows, the legend and the slider under them, and the card and the attention of what is chosen."""
    sizes = [str(one.edges) for one in result.found.explained.get("here", ())] or [str(n) for n in SIZES]
    n = int(view.from_url("edges", EDGES, sizes))
    drawn = drawn_of(result, n, SIDES)
    side, chosen = pathway_card.chosen(result, drawn)
    for place, drawing in zip(st.columns(COLUMNS, gap="medium"), drawn, strict=True):
        with place:
            parts.head(name_of_task(result, drawing.run), _measured(result, drawing, now))
            picture(result, drawing, p, chosen=chosen if side == drawing.run else "", first=drawing.run == "here")
            parts.reading(flow_reading(result, drawing))
    legend, slider = st.columns(COLUMNS, gap="medium", vertical_alignment="center")
    with legend:
        _legend(p, n)
    with slider:
        _slider(result, sizes, n)
        parts.reading(shared_reading(drawn, n))
    left, right = st.columns(COLUMNS, gap="medium")
    pathway_card.show(result, drawn, side, chosen, p, places=(left, right))


@st.cache_data(max_entries=60, show_spinner=False, hash_funcs={Pathways: lambda r: (r.run_id, r.table.num_rows)})
def drawn_of(result: Pathways, n: int, runs: tuple[str, str]) -> tuple[Drawing, Drawing]:
    """The drawings of two runs' n strongest edges."""
    return drawings(result, n, runs=runs)


def row_of(result: Pathways) -> int:
    """Height of a layer's row, in pixels."""
    return 42 if result.layers <= 12 else 14


def _measured(result: Pathways, drawing: Drawing, now: View) -> str:
    """The instruction's last words, where all samples have one wording, and what is split."""
    if now.live and drawing.run == "here" and not result.found.explained:
        return jobs.status(now)
    rows = result.samples.rows if drawing.run == "here" else result.there
    alike = len({sample.instruction.text for sample in rows}) == 1
    words = f"… {' '.join(rows[0].instruction.text.split()[-4:])} · " if alike else ""
    return f"{words}{unit_of(result)} {signed(result.total(drawing.run), 1)}"


def picture(result: Pathways, drawing: Drawing, p: Palette, *, chosen: str, first: bool) -> None:
    """One flow; a click on a ribbon, or on a head's name, chooses it."""
    chart = flow(
        drawing.ribbons,
        drawing.stays,
        drawing.labels,
        layers=result.layers,
        marked=drawing.marked,
        palette=p,
        chosen=chosen,
        row_labels=first,
        row=row_of(result),
        alt_text=f"Flow of {len(drawing.edges)} edges, {result.layers} layers by {len(drawing.labels)} tokens",
    )
    if drawing.run not in SIDES:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    key = f"flow-{drawing.run}-{result.run_id}"

    def picked() -> None:
        points = st.session_state[key]["selection"].get("edge") or []
        if points and points[0].get("name"):
            st.session_state["side"], st.session_state["edge"] = drawing.run, str(points[0]["name"])

    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=picked, selection_mode="edge")


def _slider(result: Pathways, sizes: list[str], n: int) -> None:
    """How many edges are drawn, told by what they explain. Its key follows what is told: Streamlit would reset it."""
    key = f"edges-{result.run_id}-{len(result.found.explained)}"

    def moved() -> None:
        st.session_state["edges"] = st.session_state[key]

    st.select_slider(
        "Edges drawn, and what they explain",
        sizes,
        value=str(n),
        key=key,
        format_func=lambda size: _explains(result, int(size)),
        on_change=moved,
    )


def _explains(result: Pathways, n: int) -> str:
    """A stop of the slider: how many edges, and what they explain of both."""
    shares = [
        percent(one.share)
        for run in SIDES
        for one in result.found.explained.get(run, ())
        if one.edges == n and one.share is not None
    ]
    return f"{n} edges" + (f": {' and '.join(shares)}" if shares else "")


def _legend(p: Palette, n: int) -> None:
    shared, toward, away = kind_colours(p)
    meanings = (
        (shared, f"in both top-{n}"),
        (toward, "only here, raises the answer"),
        (away, "only here, lowers it"),
        (p.line, "stays on its token"),
    )
    spans = "".join(
        f'<span><span class="line" style="background:{colour}"></span>{text}</span>' for colour, text in meanings
    )
    st.html(f'<div class="ivx-legend">{spans}<span>width = share</span><span>shaded: T_inst</span></div>')
