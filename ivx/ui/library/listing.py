"""The list of stored runs: which are shown, in what order, and which are chosen.

A run is chosen by its id. While one is, no run changes its place: rows are added below, and the clicks on a table that
the browser still shows mean what that showed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import streamlit as st

from ivx.store.store import Entry
from ivx.ui.kit import address

CHOSEN = "chosen"
"""Session and address: the ids of the chosen runs."""
DRAWN = "ivx.runs.drawn"
"""Session: the order that was drawn last, as a number and the ids."""
ANY = ""
STATES = {"complete": "complete", "partial": "stopped midway", "running": "being computed"}
TABLE_ROWS = 15


class Filter(NamedTuple):
    """One property that runs can be told by: its control's key and label, and its values of a run."""

    key: str
    label: str
    values: Callable[[Entry], Sequence[str]]


FILTERS = (
    Filter("of-checkpoint", "Checkpoint", lambda entry: (entry.request("checkpoint"),)),
    Filter("of-kind", "What", lambda entry: (entry.kind,)),
    Filter("of-task", "Task", lambda entry: entry.tasks.split(", ")),
)


def filtered(entries: Sequence[Entry]) -> list[Entry]:
    """Draw the filters; the entries that pass them all."""
    found = list(entries)
    for place, one in zip(st.columns(len(FILTERS), gap="small"), FILTERS, strict=True):
        known = sorted({value for entry in entries for value in one.values(entry)} - {"–"})
        wanted = address.asked(one.key)
        options = [ANY, *known, *({wanted} - {ANY, *known})]  # a run may have gone, or come in another session
        address.hold(one.key, ANY, options)
        value = place.selectbox(one.label, options, key=one.key, format_func=lambda name: name or "any")
        if value != ANY:
            found = [entry for entry in found if value in one.values(entry)]
    return found


def ordered(runs: Sequence[str], before: Sequence[str], *, frozen: bool) -> list[str]:
    """The runs in the order they are drawn: as they come, or, `frozen`, as before, with new ones at the end."""
    if not frozen:
        return list(runs)
    kept = [run for run in before if run in runs]
    return kept + [run for run in runs if run not in kept]


def chosen(entries: Sequence[Entry]) -> list[Entry]:
    """Draw the list; the chosen entries, in the order they were chosen."""
    named = {entry.run: entry for entry in entries}
    picked = [run for run in address.from_url(CHOSEN, ANY).split(",") if run in named]
    turn, before = st.session_state.get(DRAWN, (0, []))
    order = ordered(list(named), before, frozen=bool(picked))
    if order != before:  # another table, so that a click on the old one is not taken for one on the new
        turn += 1
        st.session_state[DRAWN] = (turn, order)
    key = f"runs-{turn}"

    def pick() -> None:
        rows = [order[k] for k in st.session_state[key]["selection"]["rows"] if k < len(order)]
        kept = [run for run in picked if run in rows]
        st.session_state[CHOSEN] = ",".join(kept + [run for run in rows if run not in kept])

    if order:
        st.session_state[key] = {"selection": {"rows": [order.index(run) for run in picked]}}
        st.dataframe(
            [_row(named[run]) for run in order],
            key=key,
            hide_index=True,
            height=38 + 35 * min(TABLE_ROWS, len(order)),
            on_select=pick,
            selection_mode="multi-row",
            column_config=_columns(),
        )
    address.to_url(chosen=",".join(picked), **{one.key: address.from_url(one.key, ANY) for one in FILTERS})
    return [named[run] for run in picked]


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "Run": entry.run,
        "Checkpoint": entry.request("checkpoint"),
        "Task": entry.tasks,
        "What": entry.kind + " (imported)" * bool(entry.asked.get("imported")),
        "n": entry.request("samples"),
        "State": STATES[entry.state] + ", pinned" * entry.pinned,
        "Rows": entry.rows,
        "MB": entry.bytes / 1e6,
        "Seconds": "–" if entry.seconds is None else f"{entry.seconds:.1f}",
        "Used": _ago(entry.used),
    }


def _columns() -> dict[str, Any]:
    return {
        "Rows": st.column_config.NumberColumn(format="localized"),
        "MB": st.column_config.NumberColumn(format="%.2f"),
        "Seconds": st.column_config.TextColumn(help="Of computing, since its last start."),
        "Used": st.column_config.TextColumn(help="When it was last opened."),
        "n": st.column_config.TextColumn(help="Samples asked for."),
    }


def _ago(when: float) -> str:
    minutes = max(0.0, time.time() - when) / 60
    for size, name in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = int(minutes // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
