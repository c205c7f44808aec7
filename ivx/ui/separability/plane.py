"""The plane in the browser, a custom component: Vega-Lite has no lasso and cannot animate points."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
HTML = '<figure><div class="zero"></div><svg role="img"><g></g><path></path></svg><div class="names"></div></figure>'


def lasso(drawn: dict[str, Any], *, key: str, on_pick: Callable[[list[int]], None]) -> None:
    """Draw what `ivx.charts.plane.plane` made; `on_pick` is told the numbers of the wordings that were picked."""

    def picked() -> None:
        # What comes from a browser is untrusted: accept numbers, or nothing.
        told = st.session_state[key].get("picked")
        on_pick(sorted({number for number in told if isinstance(number, int)}) if isinstance(told, list) else [])

    _component()(data=drawn, key=key, height="content", on_picked_change=picked)


@cache
def _component() -> Callable[..., Any]:
    """The component, registered once: its name is app-wide."""
    css, js = ((HERE / f"plane.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("ivx.plane", html=HTML, css=css, js=js)
