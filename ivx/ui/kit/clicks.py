"""Charts that are clicked: what a click means, and that it counts whatever was chosen in between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import streamlit as st

from ivx.charts.frame import CHOSEN

TURNS = "ivx.turns"
"""Session dictionary: how often each chart was begun anew."""


def chart(
    spec: Mapping[str, Any],
    *,
    key: str,
    picked: Callable[[Mapping[str, Any]], None],
    by: str = "cell",
    of: Collection[str] = (),
) -> None:
    """Draw a chart whose selection `by` calls `picked` with the clicked mark's fields.

    A browser reports no click on the mark that it reported last, though another chart, the address or a step Back has
    chosen something else since. A chart whose last click is no longer what its spec says is chosen is begun anew.

    Args:
        of: those of the fields that say what is chosen, such as the layer of a cell; all of them by default.
    """
    turns: dict[str, int] = st.session_state.setdefault(TURNS, {})
    if last := _clicked(_named(key, turns), by):
        said = {name: value for name, value in last.items() if not of or name in of}
        if not any(row.items() >= said.items() for row in spec["datasets"].get(CHOSEN, [said])):
            turns[key] = turns.get(key, 0) + 1
    named = _named(key, turns)

    def told() -> None:
        if point := _clicked(named, by):
            picked(point)

    st.vega_lite_chart(spec, key=named, theme=None, width="stretch", on_select=told, selection_mode=by)


def _named(key: str, turns: Mapping[str, int]) -> str:
    return f"{key}-{turns[key]}" if key in turns else key


def _clicked(key: str, by: str) -> dict[str, Any] | None:
    """The fields of the mark that was clicked last in the chart of this key."""
    points = st.session_state.get(key, {}).get("selection", {}).get(by)
    return dict(points[0]) if points else None
