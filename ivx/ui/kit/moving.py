"""The patch, moving: a state travels from the source's token to its cell, its cone lights, and the answer changes.

A component of the browser's own beside a map's name. It draws over the chart below it and takes no room. What it shows
is one sample's: the first whose likeliest token becomes its answer, or else the first of all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.patching.cells import Cell
from ivx.ui.kit import checkpoints

HERE = Path(__file__).parent
HTML = (
    '<div class="ivx-moving"><button type="button" title="Watch the state travel to the outlined cell">'
    '<i aria-hidden="true">▶</i><span> watch</span></button><span class="answer" role="status" hidden></span></div>'
)


def watch(result: Effects, cell: Cell, metric: str, *, key: str, at_once: str = "") -> None:
    """Draw the control; nothing where a map is not of states that were taken from one token of an instruction.

    Args:
        at_once: names an occasion on which it moves unasked, once.
    """
    told = shown(result, cell, metric)
    if told is None:
        return
    with st.container(key=f"ivx-moving-{key}"):
        _component()(data=told | {"at_once": at_once}, key=f"moving-{key}", height="content")


def shown(result: Effects, cell: Cell, metric: str) -> dict[str, Any] | None:
    """What moves: the cell's place, whether its columns are heads, and one sample's words; None if nothing does."""
    if result.request.kind != "effects" or result.request.direction != "denoise":
        return None
    token = checkpoints.token_of(result)
    told = [
        {name: row[name] for name in ("query", "answer")}
        | {when: token(row[when][0][0]) for when in ("before", "after")}
        for row in result.detail(cell.site, cell.patch, metric)
        if row["before"] and row["after"]
    ]
    one = next((row for row in told if row["before"] != row["answer"] == row["after"]), next(iter(told), None))
    place = {"layer": cell.layer, "column": cell.column, "heads": cell.site == "z"}
    return None if one is None else place | one


@cache
def _component() -> Callable[..., Any]:
    """The component, registered once: its name is app-wide. Its styles are the page's, as are the charts it marks."""
    css, js = ((HERE / f"moving.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("ivx.moving", html=HTML, css=css, js=js, isolate_styles=False)
