"""Where paths of high rank begin, for up to three checkpoints, folded under the flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape

import streamlit as st

from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.pathways.starts import Start
from ivx.charts.lines import colours_of
from ivx.charts.palette import Palette
from ivx.charts.starts import Began, starts_chart
from ivx.jobs.job import View
from ivx.models.registry import CHECKPOINTS, embedded
from ivx.ui.kit import address, blanks, checkpoints, pieces, progress

ASKED, KIND = "begin", "begin-kind"
SHOWN = (ASKED, KIND)
"""Its parts of the view: the checkpoints, and which paths are counted."""
MOST = 3
PATHS, TRACED = 100, 4
KINDS = {"strongest": "strongest", "published": "as published"}
ABOUT = f"In {TRACED} samples the {PATHS} strongest paths are searched for, and the published ones ranked."
WHAT = {
    "strongest": f"of the {PATHS} paths that give most of the logit",
    "published": "of the published paths that by themselves rank the answer in the first 100",
}


def show(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """The choice of checkpoints; their runs are asked for by the button."""
    asked = address.from_url(ASKED, "")
    with st.expander("At which tokens do high-ranking paths begin?", expanded=bool(asked)):
        if address.from_url(address.RUN, ""):
            if result.starts():
                _draw({result.request.checkpoint: result}, p)
            else:
                pieces.note("No paths were searched in this run: go back to the controls to ask for them.")
            return
        known = checkpoints.checkpoints()
        named = [name for name in asked.split(",") if name in known][:MOST] or _first(request.checkpoint, known)
        one, two = st.columns([3, 1], gap="small", vertical_alignment="bottom")
        names = one.multiselect("Checkpoints", known, default=named, key="begin-names", max_selections=MOST)
        if two.button("Search paths", key="begin-run", disabled=not names):
            asked = st.session_state[ASKED] = ",".join(names)
            named = names
        if not asked:
            pieces.note(ABOUT)
            return
        _follow({name: _request(request, name) for name in named}, p)


def _first(checkpoint: str, known: list[str]) -> list[str]:
    """A checkpoint, and others of its family, those trained one upon another first."""
    own = embedded(checkpoint)
    family = [one.name for one in CHECKPOINTS if own is not None and one.family == own.family and one.name in known]
    return list(dict.fromkeys([checkpoint, *family]))[:MOST]


def _request(request: PathwaysRequest, name: str) -> PathwaysRequest:
    told = checkpoints.loading(name, exact=True)
    found = request if name == request.checkpoint else request.beside(name)
    found = replace(found, patch_layer=None, rankings=(), edge_check=False, ablation="none", published=True)
    return replace(found, paths=PATHS, traced=TRACED, dtype=told["dtype"], device=told.get("device", "auto"))


def _follow(wanted: Mapping[str, PathwaysRequest], p: Palette) -> None:
    def draw(views: Mapping[str, View | None]) -> None:
        done = {
            name: now.result for name, now in views.items() if now is not None and now.result and now.result.starts()
        }
        missing = {name: now for name, now in views.items() if name not in done}
        if done:
            _draw(done, p)
        if missing:
            with st.columns([1.2, 1], gap="medium")[0]:
                asked = {name: wanted[name] for name in missing}
                blanks.card(asked, missing, about=ABOUT, button="Search paths", key="-begin")

    progress.follow_several(dict(wanted), draw=draw)


def _draw(found: Mapping[str, Pathways], p: Palette) -> None:
    address.hold(KIND, "strongest", list(KINDS))
    st.segmented_control("Paths", list(KINDS), key=KIND, format_func=lambda k: KINDS[k], required=True)
    kind = str(st.session_state[KIND])
    starts = {name: one.starts(kind) for name, one in found.items()}
    starts = {name: told for name, told in starts.items() if told}
    if not starts:
        pieces.note("No published path ranks the answer that high." if kind == "published" else "No path was found.")
        return
    # Only slots at which every checkpoint's tokens can stand side by side.
    keys = [one.key for one in next(iter(starts.values()))]
    keys = [key for key in keys if all(any(one.key == key for one in told) for told in starts.values())]
    labels = {one.key: one.label for told in starts.values() for one in told}
    stages = [known.stage if (known := embedded(name)) else name for name in starts]
    colours = dict(zip(starts, colours_of(stages, p), strict=True))
    left, right = st.columns([1.15, 1], gap="medium")
    for place, what, form in ((left, "Share of them", "percent"), (right, "Normalised by all paths", "times")):
        with place:
            pieces.head(what, "tick: all paths" if form == "percent" else "times as many as of all", more=WHAT[kind])
            rows = [
                _began(keys.index(one.key), name, colours[name], one, form)
                for name, told in starts.items()
                for one in told
                if one.key in keys
            ]
            chart = starts_chart(
                rows,
                [labels[key] for key in keys],
                palette=p,
                form=form,
                row_labels=form == "percent",
                alt_text=f"{what}, by token at which paths begin, of {len(starts)} checkpoints",
            )
            st.vega_lite_chart(chart, key=f"begin-{form}", theme=None, width="stretch")
    pieces.series(list(colours.items()), [])
    pieces.reading(" ".join(_reading(name, told) for name, told in starts.items()))


def _began(row: int, name: str, colour: str, one: Start, form: str) -> Began:
    if form == "percent":
        return Began(row, name, colour, one.share, one.low, one.high, one.expected)
    return Began(row, name, colour, one.times, one.times_low, one.times_high, 1.0)


def _reading(name: str, told: tuple[Start, ...]) -> str:
    """The token where most begin."""
    top = max(told, key=lambda one: one.share)
    return (
        f"{escape(name)}: most begin at <b>{escape(top.label)}</b>, {top.share:.0%} [{top.low:.0%}, {top.high:.0%}] "
        f"against {top.expected:.1%} of all, n = {top.samples} samples."
    )
