"""Copying: the picture that a page shows, and its address, into the clipboard."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
HTML = (
    '<div><button type="button">Copy image</button><button type="button">Copy link</button>'
    '<span role="status"></span></div>'
)


def buttons(draw: Callable[[], bytes], *, key: str) -> None:
    """A button for the PNG that `draw` returns, drawn when it is asked for, and one for the address of this view."""
    st.fragment(_buttons)(draw, key)


def _buttons(draw: Callable[[], bytes], key: str) -> None:
    asked = st.session_state.pop(f"{key}-asked", None)
    drawn = {} if asked is None else {"png": b64encode(draw()).decode(), "asked": asked}

    def ask() -> None:
        # What comes from a browser is untrusted: accept a number, or nothing.
        told = st.session_state[key].get("asked")
        if isinstance(told, int):
            st.session_state[f"{key}-asked"] = told

    _component()(data=drawn, key=key, height="content", on_asked_change=ask)


@cache
def _component() -> Callable[..., Any]:
    """The component, registered once: its name is app-wide."""
    css, js = ((HERE / f"copying.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("ivx.copying", html=HTML, css=css, js=js)
