"""The keyboard's way over every chart, and the outline that answers a click before the server does.

A component of the browser's own, placed once per page: charts stay Vega's, whose marks it walks and clicks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def walks() -> None:
    """Let arrow keys walk the marks of a focused chart that can be clicked, Enter click one, `?` list the keys."""
    with st.container(key="ivx-keyboard"):
        _component()(key="keyboard", height="content")


@cache
def _component() -> Callable[..., Any]:
    """The component, registered once: its name is app-wide. Its styles are the page's, as are the charts it marks."""
    css, js = ((HERE / f"keyboard.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("ivx.keyboard", html="<span></span>", css=css, js=js, isolate_styles=False)
