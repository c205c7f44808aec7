"""The Atlas page: checkpoints × tasks as one picture of what is stored, and a button that measures the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from ivx.analyses.compare.atlas import TOP, Atlas, Spotted
from ivx.analyses.compare.text import short
from ivx.analyses.effects.request import EffectsRequest
from ivx.charts.atlas import atlas_chart
from ivx.charts.palette import Palette
from ivx.formats import parquet, pictures, sheet
from ivx.jobs.atlas import MOST, request_of, there
from ivx.jobs.job import View
from ivx.jobs.worker import worker
from ivx.models.registry import families
from ivx.stats.metrics import METRICS, find
from ivx.tasks import catalogue
from ivx.ui.kit import address, blanks, checkpoints, choices, clicks, exports, following, pieces, progress, session

QUESTION = "Where does each model carry each instruction?"
EFFECTS = Path(__file__).parents[1] / "pages" / "effects.py"
FEW = 6
"""Tasks at first."""


class Asked(NamedTuple):
    """What the page shows."""

    names: tuple[str, ...]
    tasks: tuple[str, ...]
    metric: str


def controls() -> Asked:
    """Draw the controls: metric, checkpoints, tasks."""
    one, two, three, _ = st.columns([1, 1, 1, 2], gap="small", vertical_alignment="bottom")
    metric = choices.metric(one, choices.MORE_METRICS)
    every = tuple(checkpoints.checkpoints())[:MOST]
    usual = tuple(name for name in families()["tiny"] if name in every) or every[:1]
    with two.popover(f"Checkpoints · {len(_held('atlas_names', usual))}", width="stretch"):
        names = choices.several("atlas_names", "Checkpoints", every, usual)
    tasks = tuple(catalogue.tasks(checkpoints.collection_of(names[0])))
    with three.popover(f"Tasks · {len(_held('atlas_tasks', tasks[:FEW]))}", width="stretch"):
        asked = choices.several("atlas_tasks", "Tasks", tasks, tasks[:FEW])
    return Asked(names, asked, metric)


def _held(key: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    """What a control holds now; before it was drawn, what the address names."""
    named = tuple(filter(None, st.query_params.get(key, "").split(",")))
    return tuple(st.session_state.get(key, named or usual))


def lede(asked: Asked) -> str:
    """The page's one sentence."""
    return (
        "Of each pair the cell of its map that moves the answer most, its layer and token, and the share that follows "
        f"when patched: {METRICS[asked.metric].about}."
    )


def show(asked: Asked, p: Palette) -> None:
    """The picture, the chosen pair's ten strongest cells, and what is still to be measured."""
    address.to_url(atlas_names=",".join(asked.names), atlas_tasks=",".join(asked.tasks), metric=asked.metric)
    store = worker().store
    loading: dict[str, dict[str, Any]] = {name: checkpoints.loading(name) for name in asked.names}
    pending = there(store, asked.names, asked.tasks, metric=asked.metric, loading=loading)
    requests = {f"{task}, {name}": request_of(name, task, **loading[name]) for task, name in pending.missing}

    def draw(views: Mapping[str, View | None]) -> None:
        live = [name for name, now in views.items() if now is not None and now.live]
        found = there(store, asked.names, asked.tasks, metric=asked.metric, loading=loading) if views else pending
        _draw(found, asked, requests, live, p)
        if live:
            waits = f", {len(live) - 1} more after it" if len(live) > 1 else ""
            pieces.note(f"Measuring {live[0]}{waits}.")
            progress.stopping(requests, views, key="stop-atlas")

    progress.follow_several(requests, draw=draw, unasked=requests)


def _draw(found: Atlas, asked: Asked, requests: Mapping[str, EffectsRequest], live: list[str], p: Palette) -> None:
    view = find(asked.metric)
    left, right = st.columns([1.2, 1], gap="medium")
    with left:
        count = len(found.pairs)
        pieces.head("Task × checkpoint", f"{len(found.tops)} of {count} measured · best cell of each map")
        names = tuple(map(short, asked.names))
        scale = found.scale()
        spec = atlas_chart(
            found.spots(),
            tasks=asked.tasks,
            names=names,
            scale=scale,
            palette=p,
            alt_text=f"Atlas, {len(asked.tasks)} tasks by {len(names)} checkpoints",
        )
        clicks.chart(spec, key="atlas", picked=_picked, by="spot")
        pieces.note("The best of many cells looks better than it is: its verdict is adjusted over its whole map.")
        pieces.legend(p, scale, view.unit, pending=bool(live), ends=view.ends)
    with right:
        _card(found, asked)
        missing = [requests[f"{task}, {name}"] for task, name in found.missing if f"{task}, {name}" in requests]
        if missing and not live:
            _offer_missing(missing)
        for (task, name), why in list(found.refused.items())[:FEW]:
            pieces.note(f"{task}, {short(name)}: {why}")
    _exports(found, asked)


def _picked(point: Mapping[str, Any]) -> None:
    st.session_state["atlas_pair"] = (int(point["row"]), int(point["column"]))


def _card(found: Atlas, asked: Asked) -> None:
    """The strongest cells of the chosen pair; before one is chosen, of all."""
    row, column = st.session_state.get("atlas_pair", (-1, -1))
    if 0 <= row < len(asked.tasks) and 0 <= column < len(asked.names):
        task, name = asked.tasks[row], asked.names[column]
        pieces.head(f"{task}, {short(name)}", f"its {TOP} strongest cells")
        rows = [_row(cell) for cell in found.tops.get((task, name), ())]
        if rows:
            st.dataframe(rows, hide_index=True, height=390)
        else:
            pieces.note(found.refused.get((task, name), "It is not measured yet."))
        if st.button("Open on Effects ›", type="tertiary", key="atlas-open"):
            following.view(name, task, {})
            st.switch_page(EFFECTS)
        return
    pieces.head("All pairs", f"the {TOP} strongest cells; click a pair for its own")
    every = [{"task": task, "model": short(name)} | _row(cell) for task, name, cell in found.strongest()]
    rows = [{key: value for key, value in row.items() if key not in ("95 % CI", "control")} for row in every]
    if rows:
        st.dataframe(rows, hide_index=True, height=390)


def _row(cell: Spotted) -> dict[str, Any]:
    return {
        "cell": f"L{cell.layer} {cell.label}",
        "effect": round(cell.value, 2),
        "95 % CI": f"{cell.low:+.2f} … {cell.high:+.2f}",
        "control": None if cell.control is None else round(cell.control, 2),
        "verdict": {"ok": "finding", "control": "as its control", "zero": "not shown"}.get(cell.state, cell.state),
        "followed": None if cell.followed is None else f"{cell.followed:.0%}",
    }


def _offer_missing(missing: list[EffectsRequest]) -> None:
    """What it costs to measure the rest, and the button that begins it."""
    count = len(missing)
    told = f"{count} pair{'s are' if count > 1 else ' is'} not measured. Each is a run of its own, kept as it ends."
    pieces.note(told)
    blanks.costs(missing, each="All of them:", summed=True)
    if st.button(f"Measure the missing {count}", type="primary", key="atlas-measure"):
        for request in missing:
            session.start(request)
        st.rerun()


def _exports(found: Atlas, asked: Asked) -> None:
    """The picture, the numbers, the table for a paper, and the command."""
    if not found.tops:
        return
    with st.popover("Export"):
        exports.row(
            "The picture",
            "ivx-atlas",
            [
                ("SVG", ".svg", lambda: pictures.svg(found.figure())),
                ("PNG", ".png", lambda: pictures.png(found.figure())),
            ],
        )
        exports.row(
            f"The {TOP} strongest cells of each pair; the best ones as a LaTeX table (booktabs)",
            "ivx-atlas",
            [
                ("CSV", ".csv", lambda: sheet.csv(found.table)),
                ("Parquet", ".parquet", lambda: parquet.parquet(found.table, found.receipt)),
                ("LaTeX", ".tex", lambda: found.latex().encode()),
            ],
        )
        names, tasks = ",".join(asked.names), ",".join(asked.tasks)
        st.code(
            f"import ivx\nfound = ivx.atlas({list(asked.names)!r}, {list(asked.tasks)!r}, metric={asked.metric!r})",
            language="python",
            wrap_lines=True,
        )
        command = f"python -m ivx atlas --checkpoints {names} --tasks {tasks} --metric {asked.metric}"
        st.code(command, language="bash", wrap_lines=True)
