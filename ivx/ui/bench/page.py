"""The Vector bench page's parts: the strip, two curves against strength, and the texts at the chosen one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.bench.request import BenchRequest
from ivx.analyses.bench.result import CONTROL, FREE, QUERIES, STRENGTHS, VECTOR, Bench, BenchText, Dose
from ivx.analyses.bench.texts import BenchTextRequest
from ivx.analyses.picture import picture
from ivx.analyses.place.found import At
from ivx.archive import pack
from ivx.charts.bench import strength_curve
from ivx.charts.palette import Palette
from ivx.formats import sheet
from ivx.jobs.job import View
from ivx.models.registry import embedded
from ivx.patching import gate
from ivx.tasks import catalogue
from ivx.tasks.way import Way
from ivx.ui.bench.readings import bench_reading
from ivx.ui.kit import address, blanks, checkpoints, choices, clicks, exports, pieces, places, progress, session

HOW = {
    "add-first": "add, first token",
    "patch-first": "patch, first token",
    "add-every": "add, every token",
    "patch-every": "patch, every token",
}
ABOUT = {"add": "h + α v", "patch": "h + α (v − h)"}
COLUMNS = [1.0, 1.0, 1.35]
SHARE = {QUERIES: "% that follow", FREE: "% that name an answer"}
OPENED = "ivx.bench.opened"
UNEDITED = "ivx.bench.default"
DEFAULT = 20
"""Free texts of the first view: with fewer than six no test could find anything."""
SHOWN = 3
"""Prompts of a kind whose texts are seen at once."""
NAMES = {QUERIES: "On the task’s queries", FREE: "On free text"}


def controls() -> BenchRequest | None:
    """Draw the controls: checkpoint, task, layer, and how the vector is applied; None for a stored run."""
    if address.from_url(address.RUN, ""):
        session.run_strip("bench", _line)
        return None
    one, two, three, four = st.columns([1.3, 1.05, 0.5, 0.9], gap="medium", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    layers = checkpoints.layers_of(checkpoint)
    names = [str(layer) for layer in range(layers)]
    usual = str(3 * layers // 8)
    st.session_state[OPENED] = places.follow(task, checkpoint, way=Way(), published={"layer": usual}, best=_choices)
    address.hold("layer", usual, names)
    layer = three.selectbox("Layer", names, key="layer", format_func=lambda name: f"L{name}")
    address.hold("how", "add-first", list(HOW))
    how = str(four.selectbox("The vector is", list(HOW), key="how", format_func=lambda name: HOW[name]))
    way, _, place = how.partition("-")
    loading: dict[str, Any] = checkpoints.loading(checkpoint)
    return BenchRequest(checkpoint, task, int(layer), place=place, way=way, texts=_texts(checkpoint, task), **loading)


def _choices(at: At) -> dict[str, str]:
    """The layer of a place, where that is the one that the bench stands at."""
    return {"layer": str(at.layer)} if at.fields == {"source_token": "t_inst", "position": "first"} else {}


def _line(asked: BenchRequest) -> str:
    """A stored run's request in a line."""
    return f"{asked.checkpoint} · {asked.task} · layer {asked.layer} · {HOW[f'{asked.way}-{asked.place}']}"


def _texts(checkpoint: str, task: str) -> tuple[str, ...]:
    """The free texts, one per line; another task's unedited default is replaced by this task's."""
    own = _default(task, checkpoints.collection_of(checkpoint))
    address.follows(UNEDITED)
    before = st.session_state.get(UNEDITED)
    if address.from_url("free", own) == before:
        st.session_state["free"] = own
    st.session_state[UNEDITED] = own
    return _lines()


def _lines() -> tuple[str, ...]:
    return tuple(line.strip() for line in st.session_state["free"].splitlines() if line.strip())


@st.cache_data(show_spinner=False)
def _default(task: str, collection: str) -> str:
    """Default free texts: some of the task's queries in sentences that ask for nothing."""
    found = catalogue.find(task, collection=collection).task
    spaced = found.template.prompt.endswith(" :")
    queries = sorted(found.answers)[:: max(1, len(found.answers) // DEFAULT)][:DEFAULT]
    bare, look = ("{f} : {q} .", "look at the {q} .") if spaced else ("{f}: {q}.", "Look at the {q}.")
    forms = (bare, bare, look)
    return "\n".join(
        forms[k % len(forms)].replace("{f}", found.field).replace("{q}", query) for k, query in enumerate(queries)
    )


def show(request: BenchRequest | None, p: Palette) -> None:
    """Draw the curves as soon as they are computed and the texts beside them; or a stored run's curves."""
    if request is not None:
        places.said(st.session_state[OPENED], only="The vector of T_inst is put on the first token, or on all.")
    names = [f"{strength:g}" for strength in STRENGTHS]
    alpha = float(address.from_url("alpha", "1", names))
    if request is None:
        found = session.stored_run("bench")
        if found is not None:
            st.fragment(_stored)(found, p)
        return
    requests: dict[str, Any] = {
        "curve": request,
        "texts": BenchTextRequest(request.checkpoint, request, alpha, **request.loading),
    }
    curve = session.job(request, compute=embedded(request.checkpoint) is not None)
    if curve is not None and curve.view().state in ("loading", "running", "done"):
        session.job(requests["texts"], compute=True)  # who asked for the curve sees the texts of every strength
    default = _default(request.task, checkpoints.collection_of(request.checkpoint))
    address.to_url(
        checkpoint=request.checkpoint,
        task=request.task,
        layer=request.layer,
        how=f"{request.way}-{request.place}",
        alpha=f"{alpha:g}",
        placed=st.session_state["placed"],
        free="" if st.session_state["free"] == default else st.session_state["free"],
    )
    progress.follow_several(requests, draw=lambda views: _draw(request, alpha, views, p))


def _stored(found: Bench, p: Palette) -> None:
    """A stored run's curves; its texts would have to be written anew."""
    alpha = float(address.from_url("alpha", "1"))
    _panels(found.request, found, alpha, (), ("no text was given", "A stored run keeps its curves, not its texts."), p)


def _draw(request: BenchRequest, alpha: float, views: Mapping[str, View | None], p: Palette) -> None:
    if st.session_state["alpha"] != f"{alpha:g}" or _lines() != request.texts:
        st.rerun()  # only this fragment sees a click or an edit here, and either needs other texts
    curve, texts = views["curve"], views["texts"]
    if curve is not None and curve.state == "done" and texts is None:
        st.rerun()  # it ended after `show` had looked
    found: Bench | None = curve.result if curve is not None and curve.state == "done" else None
    written: Sequence[BenchText] = texts.result if texts is not None and texts.state == "done" else ()
    if found is None or (texts is not None and texts.state in ("refused", "failed")):
        _blank(request, alpha, views, p)
        return
    _panels(request, found, alpha, written, ("no text was given", blanks.word(texts)), p, typed=_free_texts)


def _blank(request: BenchRequest, alpha: float, views: Mapping[str, View | None], p: Palette) -> None:
    """The page without its curves: their axes, and the card where the texts will be."""
    bad = [name for name, now in views.items() if now is not None and now.state in ("refused", "failed")]
    shown = {name: views[name] for name in bad or ["curve"]}
    told = blanks.word(next(iter(shown.values())))
    left, middle, card = st.columns(COLUMNS, gap="medium")
    for column, on in ((left, QUERIES), (middle, FREE)):
        with column:
            pieces.head(NAMES[on], told)
            _curve(on, [], alpha, p)
    with middle:
        _free_texts()
    with card:
        about = f"{request.samples} queries and {len(request.texts)} free texts at {len(STRENGTHS) - 1} strengths, "
        blanks.card(
            dict.fromkeys(shown, request), shown, about=f"{about}with three vectors each.", button="Run the bench"
        )


def _panels(
    request: BenchRequest,
    found: Bench,
    alpha: float,
    written: Sequence[BenchText],
    waiting: tuple[str, str],
    p: Palette,
    *,
    typed: Callable[[], None] = lambda: None,
) -> None:
    """Both curves and the texts.

    Args:
        waiting: the notes in place of a missing curve and of missing texts.
        typed: draws the field of the free texts, where they can be changed.
    """
    pieces.distrust(found.receipt)
    columns = st.columns(COLUMNS, gap="medium")
    for column, on in zip(columns, (QUERIES, FREE), strict=False):
        with column:
            points = found.points(on)
            what = f"n = {points[0].n}, {SHARE[on]}" if points else waiting[0]
            pieces.head(NAMES[on], what)
            _curve(on, points, alpha, p)
            pieces.reading(bench_reading(points, alpha), found.receipt)
            if on == FREE:
                typed()
            else:
                pieces.note(_about(found, request))
    with columns[2]:
        pieces.head("What it writes", f"{ABOUT[request.way]}, α = {alpha:g}")
        _kept("alpha", "alpha-slider")
        st.select_slider(
            "Strength α",
            [f"{strength:g}" for strength in STRENGTHS],
            key="alpha-slider",
            on_change=_keep,
            args=("alpha", "alpha-slider"),
            label_visibility="collapsed",
        )
        _table(written, waiting[1])
    _legend(p)
    trust, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(found.receipt, rows=f"{found.table.num_rows:,} texts")
    with export:
        _export(found, written)


def _about(found: Bench, request: BenchRequest) -> str:
    control = found.receipt["control"]
    other = f", {control} {found.norms[CONTROL]:.1f}" if CONTROL in found.norms else ""
    return (
        f"Norms: vector (mean of {found.wordings} wordings) {found.norms[VECTOR]:.1f}{other}, states it meets "
        f"{found.norms['states']:.1f}."
    )


def _curve(on: str, points: Sequence[Dose], alpha: float, p: Palette) -> None:
    def picked(point: Mapping[str, Any]) -> None:
        st.session_state["alpha"] = f"{STRENGTHS[int(point['at'])]:g}"

    clicks.chart(_spec(on, points, alpha, p), key=f"curve-{on}", picked=picked)


def _spec(on: str, points: Sequence[Dose], alpha: float, p: Palette) -> dict[str, Any]:
    return strength_curve(
        points,
        strengths=STRENGTHS,
        palette=p,
        chosen=alpha,
        alt_text=f"{NAMES[on]}: share that follows the instruction against the vector’s strength",
    )


def _free_texts() -> None:
    _kept("free", "free-area")
    st.text_area(
        "Free text, one a line",
        key="free-area",
        height=96,
        max_chars=4_000,
        on_change=_keep,
        args=("free", "free-area"),
    )


def _kept(key: str, widget: str) -> None:
    """Give a widget of a fragment its value: Streamlit forgets it when a run ends before the widget is drawn."""
    st.session_state[widget] = st.session_state[key]


def _keep(key: str, widget: str) -> None:
    st.session_state[key] = st.session_state[widget]


def _table(texts: Sequence[BenchText], waiting: str) -> None:
    """Draw each prompt and its text without the vector, with it, and with another task's."""
    if not texts:
        pieces.note(waiting)
        return
    mine = [[_row(text) for text in texts if text.on == on] for on in (QUERIES, FREE)]
    shown, rest = ("".join(row for rows in mine for row in rows[part]) for part in (slice(SHOWN), slice(SHOWN, None)))
    more = sum(max(0, len(rows) - SHOWN) for rows in mine)
    folded = f"<details><summary>{more} more</summary><table>{rest}</table></details>" if more else ""
    st.html(
        '<div class="ivx-card facts ivx-texts"><table><tr><td>prompt</td><td>without</td>'
        f"<td>with it</td><td>another task’s</td></tr>{shown}</table>{folded}</div>"
    )


def _row(text: BenchText) -> str:
    """One prompt's texts, as HTML."""
    right = text.expected and text.moved.startswith(text.expected)
    return (
        f"<tr><td><code>{escape(text.shown)}</code></td><td>{escape(text.without)}</td>"
        f'<td class="moved{" right" if right else ""}">{escape(text.moved)}</td><td>{escape(text.control)}</td></tr>'
    )


def _legend(p: Palette) -> None:
    def mark(colour: str, name: str, style: str = "") -> str:
        return f'<span><span class="box" style="background:{colour};border-radius:50%;{style}"></span>{name}</span>'

    st.html(
        '<div class="ivx-legend">'
        + mark(p.orange, "vector, beyond both controls")
        + mark("transparent", "vector, no finding", f"box-shadow:inset 0 0 0 2px {p.orange}")
        + mark(p.blue, "another task’s")
        + mark(p.faint, "random, equal norm")
        + "<span>bands: 95% intervals (Wilson)</span><span>α not to scale</span></div>"
    )


def _export(found: Bench, texts: Sequence[BenchText]) -> None:
    offered: list[exports.Offered] = [
        ("Zip: rows, figures, receipt, notebook", ".zip", partial(pack.of_result, found)),
        ("CSV, all rows", ".csv", partial(sheet.csv, found.table, note=gate.sentence(found.receipt))),
        ("JSON, curves and texts", ".json", partial(_json, found, texts)),
    ]
    note = gate.sentence(found.receipt)
    with st.popover("Export", width="stretch"):
        exports.take("ivx-bench", partial(picture, found), note=note)
        exports.row("What they were computed from, and the texts", "ivx-bench", offered)
        code = f'{exports.computed_by(found.request)}\nfound.points("queries"), found.table, found.chart()'
        st.code(code, language="python", wrap_lines=True)
        st.code(exports.in_shell(found.request, "contrast"), language="bash", wrap_lines=True)


def _json(found: Bench, texts: Sequence[BenchText]) -> str:
    told = {**found.summary(), "texts": [asdict(text) for text in texts]}
    return json.dumps(told, ensure_ascii=False, indent=1)
