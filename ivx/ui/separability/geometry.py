"""Every layer at once, folded under the wordings: their planes side by side, and how alike the states of a task are."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ivx.analyses.separability.geometry import Bounds
from ivx.analyses.separability.result import Separability
from ivx.charts.lines import Dot, Line, lines
from ivx.charts.palette import Palette
from ivx.charts.planes import planes
from ivx.ui.kit import address, pieces
from ivx.ui.separability import wordings
from ivx.ui.separability.wordings import AGAIN, ALL, Sources

COSINE = "Mean over pairs of wordings of different families, of states as they are; a band is the 95 % interval."
SILHOUETTE = (
    "How much nearer a state is to its own task’s than to the next task’s, from −1 to 1, of standardised features; "
    "dashed: labels shuffled by family."
)
NORM = "Mean length of a state."


def show(
    told: Sources, component: str, layer: int, task: str, p: Palette, *, pending: Callable[[], None] = lambda: None
) -> None:
    """The fold: planes of the kind that is chosen above, and three curves; where these were not measured, a button."""
    asked = address.from_url(ALL, "") == "1"
    with st.expander("Every layer at once", expanded=asked):
        kind = told.chosen(component)
        drawn = told.of(kind, component)
        if drawn is not None and kind != "path":
            found = wordings.dots_by_layer(drawn, component, kind)
            pieces.head(f"Wordings by layer, {wordings.KINDS[kind]}", wordings.ABOUT[kind][0])
            st.html(
                planes(
                    found,
                    box=wordings.box(drawn, component, kind, len(found)),
                    palette=p,
                    pair=wordings.pair_of(told.read, task),
                    selected=layer,
                    alt_text=f"Wordings of every layer, {component}, {wordings.KINDS[kind]}",
                )
            )
        measured = told.of("path", component)
        if measured is not None:
            _curves(measured, component, layer, p)
        elif address.from_url(address.RUN, ""):
            pieces.note("This run was made before it was measured how alike states are.")
        elif asked:
            pending()
        elif st.button("Measure how alike the states are", key="alike-run"):
            st.session_state.update({ALL: "1", AGAIN: True})
            st.rerun()


def _curves(read: Separability, component: str, layer: int, p: Palette) -> None:
    found = read.geometry(component)

    def line(name: str, colour: str, bounds: list[Bounds], *, thin: bool = False) -> Line:
        told = (Dot(one.layer, *own) for one, own in zip(found, bounds, strict=True))
        return Line(name, colour, tuple(told), thin)

    within, between, own, shuffled, norms = (
        [getattr(one, name) for one in found] for name in ("within", "between", "silhouette", "shuffled", "norm")
    )
    cosines = [line("one task", p.orange, within), line("two tasks", p.faint, between)]
    silhouettes = [line("shuffled labels", p.faint, shuffled, thin=True), line("tasks", p.blue, own)]
    charts = (
        ("Cosine", "two wordings’ states", COSINE, cosines),
        ("Silhouette", "−1 to 1", SILHOUETTE, silhouettes),
        ("Norm", "length", NORM, [line("all tasks", p.ink, norms)]),
    )
    row = 24 if read.layers <= 16 else 10
    for place, (name, what, more, curves) in zip(st.columns(3, gap="medium"), charts, strict=True):
        with place:
            pieces.head(name, what, more=more)
            ends = [end for one in curves for dot in one.dots for end in (dot.low, dot.high)]
            margin = 0.04 * (max([*ends, 0.0]) - min([*ends, 0.0]))
            low, high = min([*ends, 0.0]), max([*ends, 0.0])
            chart = lines(
                curves,
                layers=read.layers,
                palette=p,
                domain=(low - margin if low < 0 else 0.0, high + margin if high > 0 else 0.0),
                form="number",
                row=row,
                marked=layer,
                row_labels=name == "Cosine",
                alt_text=f"{name} by layer, {component}",
            )
            st.vega_lite_chart(chart, key=f"geometry-{name}-{read.run_id}-{component}", theme=None, width="stretch")
            pieces.series([(one.name, one.colour) for one in curves] if len(curves) > 1 else [], [])
    here = next((one for one in found if one.layer == layer), found[-1])
    pieces.reading(
        f"At layer {here.layer}: cosine within a task <b>{here.within[0]:.2f}</b> {_span(here.within)}, between two "
        f"<b>{here.between[0]:.2f}</b> {_span(here.between)}; silhouette <b>{here.silhouette[0]:.2f}</b> "
        f"{_span(here.silhouette)}, shuffled {here.shuffled[0]:.2f}; n = {len(read.wordings)} wordings, intervals "
        "over families.".replace("-", "−")
    )


def _span(bounds: Bounds) -> str:
    return f"[{bounds[1]:.2f}, {bounds[2]:.2f}]"
