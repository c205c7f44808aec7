"""Two instructions' flows side by side, and the chosen edge below: the part that the slider or a click redraws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ivx.analyses.pathways.drawing import Drawing, drawings
from ivx.analyses.pathways.faithfulness import SIZES
from ivx.analyses.pathways.overlap import Overlap
from ivx.analyses.pathways.result import Pathways
from ivx.charts.flow import flow, kind_colours
from ivx.charts.numbers import signed
from ivx.charts.overlap import Level, overlap_chart
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.ui.kit import address, clicks, pieces, progress
from ivx.ui.pathways import card
from ivx.ui.pathways.readings import flow_reading, name_of_task, percent, shared_reading, unit_of

COLUMNS = [1.13, 1.07]
ASIDE = 0.58
"""Widths of the flows, and of what stands beside them."""
EDGES = "20"
SIDES = ("here", "there")


def show(result: Pathways, now: View, p: Palette) -> None:
    """Both flows, the legend and the slider under them, and the card and the attention of what is chosen."""
    sizes = [str(one.edges) for one in result.found.explained.get("here", ())] or [str(n) for n in SIZES]
    n = int(address.from_url("edges", EDGES, sizes))
    drawn = drawn_of(result, n, SIDES)
    side, chosen = card.chosen(result, drawn)
    for place, drawing in zip(st.columns(COLUMNS, gap="medium"), drawn, strict=True):
        with place:
            waits = now.live and drawing.run == "here" and not result.found.explained
            told = progress.status(now) if waits else measured(result, drawing)
            pieces.head(name_of_task(result, drawing.run), told)
            picture(result, drawing, p, first=drawing.run == "here", chosen=chosen if side == drawing.run else "")
            pieces.reading(flow_reading(result, drawing), result.receipt)
    legend, slider = st.columns(COLUMNS, gap="medium", vertical_alignment="center")
    with legend:
        _legend(p, n)
    with slider:
        _slider(result, sizes, n)
        pieces.reading(shared_reading(drawn, n), result.receipt)
    left, right = st.columns(COLUMNS, gap="medium")
    card.show(result, drawn, side, chosen, p, places=(left, right))


@st.cache_data(max_entries=60, show_spinner=False, hash_funcs={Pathways: lambda r: (r.run_id, r.table.num_rows)})
def drawn_of(result: Pathways, n: int, runs: tuple[str, str], other: Pathways | None = None) -> tuple[Drawing, Drawing]:
    """The drawings of two runs' n strongest edges."""
    return drawings(result, n, runs=runs, other=other)


def row_of(layers: int) -> int:
    """Height of a layer's row, in pixels."""
    return 42 if layers <= 12 else 14


def measured(result: Pathways, drawing: Drawing) -> str:
    """The instruction's last words, where all samples have one wording, and what is split."""
    rows = result.samples.rows if drawing.run == "here" else result.there
    alike = len({sample.instruction.text for sample in rows}) == 1
    words = f"… {' '.join(rows[0].instruction.text.split()[-4:])} · " if alike else ""
    return f"{words}{unit_of(result)} {signed(result.total(drawing.run), 1)}"


def picture(result: Pathways, drawing: Drawing, p: Palette, *, first: bool, chosen: str | None = None) -> None:
    """One flow. Where one can be `chosen`, a click on a ribbon, or on a head's name, chooses it."""
    chart = flow(
        drawing.ribbons,
        drawing.stays,
        drawing.labels,
        layers=result.layers,
        marked=drawing.marked,
        palette=p,
        chosen=chosen or "",
        row_labels=first,
        row=row_of(result.layers),
        alt_text=f"Flow of {len(drawing.edges)} edges, {result.layers} layers by {len(drawing.labels)} tokens",
    )
    if chosen is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return

    def picked(point: Mapping[str, Any]) -> None:
        if point.get("name"):
            st.session_state["side"], st.session_state["edge"] = drawing.run, str(point["name"])

    clicks.chart(chart, key=f"flow-{drawing.run}-{result.run_id}", picked=picked, by="edge")


def overlap_panel(overlap: Overlap | None, result: Pathways, p: Palette) -> None:
    """How alike two kinds of runs are in each layer, at the height of the flows; empty while there is none."""
    found = () if overlap is None else overlap.layers
    levels = [Level(x.layer, x.jaccard, x.low, x.high, x.reference, x.p, x.apart) for x in found]
    text = f"Overlap in each of {result.layers} layers"
    chart = overlap_chart(levels, layers=result.layers, palette=p, row=row_of(result.layers), alt_text=text)
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _slider(result: Pathways, sizes: list[str], n: int) -> None:
    """A slider of edges drawn, labelled by what they explain. Its key follows the labels: Streamlit would reset it."""
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
