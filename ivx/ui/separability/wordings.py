"""The wordings of one layer: in a plane where they can be picked, and how a probe took them."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from ivx.analyses.separability.result import Separability
from ivx.charts.confusion import confusion
from ivx.charts.curve import Step, curve
from ivx.charts.palette import Palette
from ivx.charts.plane import Box, Dot, box_of, plane
from ivx.tasks import catalogue
from ivx.ui.kit import pieces
from ivx.ui.kit.address import from_url, hold
from ivx.ui.separability.plane import lasso

HEIGHT = 250
KINDS = {"lda": "LDA", "pca": "PCA", "umap": "UMAP"}
SHOWN = {"matrix": "confusion", "curve": "learning curve"}
PICKED = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", re.ASCII)
"""A selection in the address bar: numbers of wordings, and ranges of them.

The wordings are the same at every layer and component, so that a selection can be followed through all.
"""
HELD = "fitted on half of the paraphrase families; the others are drawn"
SLIDER = "ivx.layer-slider"
"""Session key: the current slider's number, the (component, layer) it shows, and the layer it began with."""
LISTED = 60
"""Wordings that are listed; the rest are counted."""


def address() -> dict[str, str]:
    """The address bar's values for these panels."""
    kind, shown = from_url("plane", "lda", list(KINDS)), from_url("probe", "matrix", list(SHOWN))
    return {
        "plane": "" if kind == "lda" else kind,
        "probe": "" if shown == "matrix" else shown,
        "lasso": from_url("lasso", ""),
    }


def plane_panel(read: Separability, component: str, layer: int, task: str) -> None:
    """The projection with its layer slider; a lasso picks wordings, which are listed and followed."""
    kinds = [kind for kind in KINDS if kind in read.request.projections]
    kind = from_url("plane", kinds[0], kinds)
    found = {cell.layer: _dots(read, cell.layer, component, kind) for cell in read.cells(component)}
    dots = found.get(layer, [])
    share = None if layer not in found else read.projection(layer, component, kind).share
    held, more = ("held-out families", HELD) if kind == "lda" else ("all wordings", "")
    pieces.head(f"Wordings, layer {layer}", held + ("" if share is None else f"; {share:.0%} of the spread"), more=more)
    picked = _picked(read)
    drawn = plane(
        dots,
        box=_box(read, component, kind, len(found)),
        pair=_pair(read, task),
        chosen=picked,
        height=HEIGHT,
        alt_text=f"Wordings in a plane, {component} layer {layer}, {KINDS[kind]}",
    )
    # One key for all layers of a component, so that its points move.
    lasso(
        drawn,
        key=f"plane-{read.run_id}-{component}-{kind}",
        on_pick=lambda numbers: st.session_state.update(lasso=_ranges(numbers)),
    )
    slide, which = st.columns([1.25, 1], gap="medium", vertical_alignment="center")
    with slide:
        _slider(component, layer, read.layers)
    if len(kinds) > 1:
        hold("plane", kinds[0], kinds)
        which.segmented_control(
            "Plane",
            kinds,
            key="plane",
            format_func=lambda k: KINDS[k],
            required=True,
            label_visibility="collapsed",
        )
    _list(read, picked)


def _slider(component: str, layer: int, layers: int) -> None:
    """Draw the layer slider, whose value only the browser sets.

    A value set from here would be undone by a browser that has not seen it yet and still reports the one before. Where
    anything else moves the layer or the component, another slider takes its place, and the old one is ignored.
    """
    turn, place, start = st.session_state.get(SLIDER, (0, None, layer))
    if place != (component, layer) or f"{SLIDER}-{turn}" not in st.session_state:
        turn, start = turn + 1, layer
    key = f"{SLIDER}-{turn}"

    def moved() -> None:
        if st.session_state[SLIDER][0] == turn:
            now = st.session_state[key]
            st.session_state.update({"layer": str(now), SLIDER: (turn, (component, now), start)})

    st.session_state[SLIDER] = (turn, (component, layer), start)
    st.slider("Layer", 0, layers - 1, start, key=key, label_visibility="collapsed", on_change=moved)


def probe_panel(read: Separability, component: str, layer: int, task: str, p: Palette) -> None:
    """Draw the probe's confusion matrix on held-out wordings, or its learning curve."""
    shown = from_url("probe", "matrix", list(SHOWN))
    if layer not in {cell.layer for cell in read.cells(component)}:
        pieces.head("The probe", "not computed yet")
        return
    if shown == "matrix":
        pieces.head(
            f"Predicted task, layer {layer}",
            "% of held-out wordings",
            more="of each task: what the probe took it for",
        )
        pair = _pair(read, task)
        chart = confusion(
            read.confusion(layer, component).tolist(),
            read.tasks,
            palette=p,
            height=HEIGHT,
            bold=pair or (),
            alt_text=f"Confusion matrix, {component} layer {layer}",
        )
    else:
        pieces.head(f"Learning curve, layer {layer}", "held-out accuracy", more="dashed: what a guess gets")
        steps = [
            Step(c.wordings, c.accuracy.value, c.accuracy.low, c.accuracy.high) for c in read.curve(layer, component)
        ]
        chart = curve(
            steps,
            chance=read.chance,
            palette=p,
            height=HEIGHT - 20,
            alt_text=f"Learning curve, {component} layer {layer}",
        )
    st.vega_lite_chart(chart, key=f"probe-{shown}-{read.run_id}-{component}", theme=None, width="stretch")
    hold("probe", "matrix", list(SHOWN))
    st.segmented_control(
        "Of the probe",
        list(SHOWN),
        key="probe",
        format_func=lambda s: SHOWN[s],
        required=True,
        label_visibility="collapsed",
    )


def _pair(read: Separability, task: str) -> tuple[str, str] | None:
    """The task and its contrast, where both were told apart."""
    if task not in read.tasks:
        return (read.tasks[0], read.tasks[1]) if len(read.tasks) == 2 else None
    known = next((t[task] for c in catalogue.COLLECTIONS if task in (t := catalogue.tasks(c))), None)
    return (task, known.contrast) if known is not None and known.contrast in read.tasks else None


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Separability: lambda r: (r.run_id, r.table.num_rows)})
def _dots(read: Separability, layer: int, component: str, kind: str) -> list[Dot]:
    return [
        Dot(point.x, point.y, point.wording.task, point.wording.text, point.number)
        for point in read.projection(layer, component, kind).points
    ]


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs={Separability: lambda r: r.run_id})
def _box(read: Separability, component: str, kind: str, layers: int) -> Box:
    """The axes of all layers that are done."""
    return box_of([_dots(read, cell.layer, component, kind) for cell in read.cells(component)])


def _ranges(numbers: list[int]) -> str:
    """Rising numbers as `3,7-9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _picked(read: Separability) -> list[int]:
    """Numbers of the picked wordings that there are."""
    told = from_url("lasso", "")
    if not PICKED.fullmatch(told):
        return []
    ends = [[int(end) for end in part.split("-")] for part in told.split(",")]
    return [k for k in range(len(read.wordings)) if any(run[0] <= k <= run[-1] for run in ends)]


def _list(read: Separability, picked: list[int]) -> None:
    if not picked:
        pieces.note("Draw a line around points to read their wordings; shift adds more.")
        return
    lines = "".join(
        f"<div><span>{escape(read.wordings[k].text)}</span><i>{escape(read.wordings[k].task)}</i></div>"
        for k in picked[:LISTED]
    )
    more = f"<div><i>and {len(picked) - LISTED} more</i></div>" if len(picked) > LISTED else ""
    st.html(f'<div class="ivx-wordings" data-testid="ivx-wordings">{lines}{more}</div>')
    st.button("Let go", on_click=lambda: st.session_state.update(lasso=""))
