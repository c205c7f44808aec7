"""Whether one task's circuit carries another: a matrix of tasks, folded under the flows."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.transfer.request import MOST, TransferRequest
from ivx.analyses.transfer.result import NAMES, Cell, Transfer
from ivx.charts.palette import Palette
from ivx.charts.transfer import transfer_chart
from ivx.errors import IvxError
from ivx.jobs.job import View
from ivx.numeral import index_of
from ivx.tasks import catalogue
from ivx.tasks.task import Task
from ivx.ui.kit import address, blanks, checkpoints, choices, clicks, exports, pieces, progress
from ivx.ui.pathways.readings import percent, span

SHOWN = ("carry", "carry-heads", "carry-cell")
"""Its parts of the view."""
HEADS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
USUAL = 8
METRIC = "contrast"
ABOUT = "Each task’s strongest heads are kept, all others write their mean over these tasks, and every task is asked."


def show(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """The choice of tasks; the run is asked for by its button."""
    asked = address.from_url("carry", "")
    with st.expander("Does one task’s circuit carry another?", expanded=bool(asked)):
        if result.receipt.get("imported") or catalogue.is_file(request.task):
            pieces.note("For tasks that come with ivx. Of your own files: python -m ivx transfer --tasks FILE …")
            return
        known = catalogue.tasks(checkpoints.collection_of(request.checkpoint))
        named = [task for task in asked.split(",") if task in known][:MOST] or _first(request.task, known)
        count = index_of(address.from_url("carry-heads", str(USUAL)), below=max(HEADS) + 1) or USUAL
        one, two, three = st.columns([3, 0.7, 1], gap="small", vertical_alignment="bottom")
        tasks = one.multiselect(
            "Tasks", list(known), default=named, key="carry-tasks", max_selections=MOST, format_func=choices.task_name
        )
        usual = min(range(len(HEADS)), key=lambda i: abs(HEADS[i] - count))
        heads = two.selectbox("Heads kept", HEADS, index=usual, key="carry-count")
        if three.button("Try every pair", key="carry-run", disabled=len(tasks) < 2):
            asked = st.session_state["carry"] = ",".join(tasks)
            st.session_state["carry-heads"], st.session_state["carry-cell"] = str(heads), ""
            named, count = tasks, int(heads)
        if not asked:
            pieces.note(f"{ABOUT} Two to {MOST} tasks.")
            return
        told: dict[str, Any] = checkpoints.loading(request.checkpoint, exact=True)
        try:
            wanted = TransferRequest(request.checkpoint, tuple(named), heads=count, **told)
        except IvxError as error:
            pieces.refusal("These cannot be compared", str(error), "Choose other tasks.")
            return
        _follow(wanted, p)


def show_stored(found: Transfer, p: Palette) -> None:
    """A stored run by itself."""
    pieces.distrust(found.receipt)
    _draw(found, p)
    trust, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(found.receipt, rows=f"n = {found.receipt['samples']} · {found.table.num_rows:,} rows")
    with export:
        exports.offer(found, METRIC)
    address.to_url(run=found.run_id, **{"carry-cell": address.from_url("carry-cell", "")})


def _first(task: str, known: dict[str, Task]) -> list[str]:
    """A task, its contrast, and two more: of its own field first."""
    field = known[task].field if task in known else ""
    order = sorted(known, key=lambda name: (name != task, known[name].field != field))
    return order[:4]


def _follow(wanted: TransferRequest, p: Palette) -> None:
    def blank(now: View | None) -> None:
        with st.columns([1.2, 1], gap="medium")[0]:
            blanks.card({"": wanted}, {"": now}, about=ABOUT, button="Try every pair", key="-carry")

    def draw(now: View) -> None:
        if len(now.result.cells()) < len(now.result.tasks) ** 2:
            blank(now)
        else:
            _draw(now.result, p)

    progress.follow(wanted, draw=draw, blank=blank)


def _draw(found: Transfer, p: Palette) -> None:
    tasks = found.tasks
    cell = _chosen(found)
    at = (tasks.index(cell.circuit), tasks.index(cell.task))
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        pieces.head(
            "Carried", f"{found.request.heads} heads each, n = {found.receipt['samples']}", more="95% intervals"
        )
        spec = transfer_chart(
            found.tiles(),
            names=tasks,
            palette=p,
            chosen=at,
            alt_text=f"Share of each of {len(tasks)} tasks that the heads of each carry",
        )
        clicks.chart(spec, key="carry-matrix", picked=_picked)
        pieces.reading(_reading(found))
    with right:
        _card(found, cell, p)
    for warning in found.receipt["warnings"]:
        pieces.note(warning)


def _picked(point: Mapping[str, Any]) -> None:
    st.session_state["carry-cell"] = f"{point['row']}.{point['column']}"


def _chosen(found: Transfer) -> Cell:
    """The clicked cell, or the first that is a phantom, shared or specific, or the first of two tasks."""
    row, _, column = address.from_url("carry-cell", "").partition(".")
    n = len(found.tasks)
    one, two = index_of(row, below=n), index_of(column, below=n)
    if one is not None and two is not None:
        return found.cell(found.tasks[one], found.tasks[two])
    order = ("phantom", "shared", "specific", "unresolved", "undefined", "itself")
    return min(found.cells(), key=lambda cell: order.index(cell.name))


def _reading(found: Transfer) -> str:
    """How many pairs are of each name, and the phantoms by name."""
    pairs = [cell for cell in found.cells() if cell.circuit != cell.task]
    counts = {name: sum(cell.name == name for cell in pairs) for name in NAMES}
    told = ", ".join(f"<b>{count} {name}</b>" for name, count in counts.items() if count)
    text = f"Of {len(pairs)} pairs {told}."
    phantoms = [f"{cell.circuit} on {cell.task}" for cell in pairs if cell.name == "phantom"]
    return text + (f" Other heads, yet they carry it: {escape('; '.join(phantoms[:3]))}." if phantoms else "")


def _card(found: Transfer, cell: Cell, p: Palette) -> None:
    own = "their own half" if cell.circuit == cell.task else f"{cell.task}’s own"
    rows = []
    if cell.value is not None and cell.low is not None and cell.high is not None:
        rows.append((f"{cell.circuit}’s heads", cell.value, cell.low, cell.high, p.orange))
        rows.append(("random sets, their range", cell.floor or 0, cell.floor_low or 0, cell.floor_high or 0, p.muted))
        big = percent(cell.value)
        under = f"of what {escape(own)} heads carry, 95% CI {span(cell.low, cell.high)}"
    else:
        big, under = "–", f"{escape(own)} heads move the answer by {cell.gained:+.2f} logits, next to nothing"
    rows.append(("overlap of both circuits", cell.overlap, cell.overlap_low, cell.overlap_high, p.ink))
    reach = max(abs(v) for row in rows for v in row[1:4]) or 1.0
    heads = " · ".join(f"L{layer} H{head}" for layer, head in found.circuit(cell.circuit))
    st.html(
        '<div class="ivx-card" data-testid="ivx-carried">'
        f'<div class="top"><h2>{escape(cell.circuit)} on {escape(cell.task)}</h2><code class="soft">{cell.name}</code>'
        f'</div><div class="row"><span class="big">{big}</span><span class="soft">{under} · n = {cell.n}</span></div>'
        f"<div>{escape(NAMES[cell.name][:1].upper() + NAMES[cell.name][1:])}.</div>"
        f"<h3>Beside random sets, and the overlap</h3>{pieces.whisker(rows, p, scale=reach * 1.1)}"
        f"<h3>{escape(cell.circuit)}’s heads</h3><div>{heads or 'none'}</div></div>"
    )
    with st.expander("Python"):
        code = f"{exports.computed_by(found.request)}\nfound.cell({cell.circuit!r}, {cell.task!r})"
        st.code(code, language="python", wrap_lines=True)
