"""The wordings of one layer: in a plane where they can be picked, and how a probe took them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import streamlit as st

from ivx.analyses.separability.result import Separability
from ivx.charts.confusion import confusion
from ivx.charts.curve import Step, curve
from ivx.charts.palette import Palette
from ivx.charts.plane import Box, Dot, box_of, plane
from ivx.charts.planes import trajectories
from ivx.tasks import catalogue
from ivx.ui.kit import pieces
from ivx.ui.kit.address import RUN, from_url, hold
from ivx.ui.separability.plane import lasso

HEIGHT = 250
KINDS = {"lda": "LDA", "pca": "PCA", "tsne": "t-SNE", "umap": "UMAP", "path": "paths"}
SHOWN = {"matrix": "confusion", "curve": "learning curve"}
PICKED = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", re.ASCII)
"""A selection in the address bar: numbers of wordings, and ranges of them.

The wordings are the same at every layer and component, so that a selection can be followed through all.
"""
ABOUT = {
    "lda": ("held-out families", "fitted on half of the paraphrase families; the others are drawn"),
    "pca": ("all wordings", ""),
    "tsne": ("for the eye only", "t-SNE keeps neighbours: distances between groups, and densities, mean nothing"),
    "umap": ("for the eye only", "UMAP keeps neighbours: distances between groups, and densities, mean nothing"),
    "path": (
        "one plane for all layers",
        "PCA of all layers together, each without its mean and of one size; thick: a task’s mean, thin: wordings, "
        "dot: this layer",
    ),
}
"""Of a plane: what is drawn, and what its tooltip adds."""
AGAIN = "ivx.separability.again"
"""Session key, set when a control in the live fragment changes the request: the whole page is then rerun."""
LONGER = ("tsne", "path")
"""Planes that can be asked for where a run does not hold them."""
ALL = "layers"
"""Part of the view: `1` opens what is told of every layer."""
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
        ALL: from_url(ALL, ""),
    }


@dataclass(frozen=True)
class Sources:
    """The run of the probes, and the one of what takes longer, as far as it is there."""

    read: Separability
    further: Separability | None = None

    def of(self, kind: str, component: str) -> Separability | None:
        """The run that holds a plane, or, for `path`, the geometry of states."""
        for run in (self.read, self.further):
            if run is not None and (run.geometry(component) if kind == "path" else kind in run.request.projections):
                return run
        return None

    def kinds(self, component: str) -> list[str]:
        """The planes that can be shown; of a stored run, those that it holds."""
        live = not from_url(RUN, "")
        return [kind for kind in KINDS if self.of(kind, component) or (live and kind in LONGER)]

    def chosen(self, component: str) -> str:
        """The plane that is shown."""
        kinds = self.kinds(component)
        return from_url("plane", kinds[0], kinds)


def further() -> bool:
    """Whether the view shows what takes longer."""
    return from_url("plane", "lda", list(KINDS)) in LONGER or from_url(ALL, "") == "1"


def plane_panel(
    told: Sources, component: str, layer: int, task: str, p: Palette, *, pending: Callable[[], None] = lambda: None
) -> None:
    """The projection with its layer slider; a lasso picks wordings, which are listed and followed.

    `pending` is drawn where the plane is not computed yet.
    """
    read, kinds, kind = told.read, told.kinds(component), told.chosen(component)
    drawn = told.of(kind, component)
    found = {} if drawn is None else dots_by_layer(drawn, component, kind)
    dots = found.get(layer, [])
    share = None if drawn is None or layer not in found else drawn.projection(layer, component, kind).share
    held, more = ABOUT[kind]
    pieces.head(
        "Paths over the layers" if kind == "path" else f"Wordings, layer {layer}",
        held + ("" if share is None else f"; {share:.0%} of the spread"),
        more=more,
    )
    picked = _picked(read)
    if drawn is None:
        pending()
    elif kind == "path":
        st.html(
            trajectories(
                found,
                box=box(drawn, component, kind, len(found)),
                palette=p,
                pair=pair_of(read, task),
                selected=layer,
                followed=picked,
                height=HEIGHT,
                alt_text=f"Paths of wordings over the layers, {component}",
            )
        )
    else:
        _pickable(drawn, component, layer, kind, dots, picked, pair=pair_of(read, task), layers=len(found))
    if len(kinds) > 1:
        hold("plane", kinds[0], kinds)
        st.segmented_control(
            "Plane",
            kinds,
            key="plane",
            format_func=lambda k: KINDS[k],
            required=True,
            label_visibility="collapsed",
            width="stretch",
            on_change=lambda: st.session_state.update({AGAIN: True}),
        )
    _slider(component, layer, read.layers)
    _list(read, picked, drawn=kind != "path")


def _pickable(
    read: Separability,
    component: str,
    layer: int,
    kind: str,
    dots: list[Dot],
    picked: list[int],
    *,
    pair: tuple[str, str] | None,
    layers: int,
) -> None:
    """The points of one layer, and the lasso that picks some."""
    drawn = plane(
        dots,
        box=box(read, component, kind, layers),
        pair=pair,
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
        pair = pair_of(read, task)
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


def pair_of(read: Separability, task: str) -> tuple[str, str] | None:
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
def box(read: Separability, component: str, kind: str, layers: int) -> Box:
    """The axes of all layers that are done."""
    return box_of(list(dots_by_layer(read, component, kind).values()))


def dots_by_layer(read: Separability, component: str, kind: str) -> dict[int, list[Dot]]:
    """The dots of each layer that is done."""
    return {cell.layer: _dots(read, cell.layer, component, kind) for cell in read.cells(component)}


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


def _list(read: Separability, picked: list[int], *, drawn: bool) -> None:
    if not picked:
        points = "Draw a line around points to read their wordings; shift adds more."
        pieces.note(points if drawn else "Pick wordings in another plane to follow theirs here.")
        return
    lines = "".join(
        f"<div><span>{escape(read.wordings[k].text)}</span><i>{escape(read.wordings[k].task)}</i></div>"
        for k in picked[:LISTED]
    )
    more = f"<div><i>and {len(picked) - LISTED} more</i></div>" if len(picked) > LISTED else ""
    st.html(f'<div class="ivx-wordings" data-testid="ivx-wordings">{lines}{more}</div>')
    st.button("Let go", on_click=lambda: st.session_state.update(lasso=""))
