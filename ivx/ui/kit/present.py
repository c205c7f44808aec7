"""Presenting: a page without its frame, in letters that are read from the back of a room; on while the address says so.

What is taken away is hidden by style alone, so that every control keeps what was chosen.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import streamlit as st

from ivx.ui.kit import address

STYLE = Path(__file__).with_suffix(".css")
LETTERS = 1.46
"""How much larger a chart's letters are: the smallest, a cell's number, is then 16 px high."""
GROWTH, LEAST = 1.3, 18.0
"""How much larger a text of the page is, and what it has at least, in px."""


def style(page: str) -> str:
    """What stands behind the page's style sheet while it is presented: the same with larger texts, and no frame."""

    def larger(found: re.Match[str]) -> str:
        return f"font-size: {max(LEAST, round(GROWTH * float(found[1]))):g}px"

    return re.sub(r"font-size: ([\d.]+)px", larger, page) + STYLE.read_text(encoding="utf-8")


def way_in() -> None:
    """A quiet button beside a page's title; none while it is presented."""
    if address.presenting() or address.PAGE not in st.session_state:  # or no page, but what stands before all pages
        return
    with st.container(key="ivx-present"):
        if st.button("Present", type="tertiary", icon=":material/present_to_all:", help="Large, without the frame."):
            address.present(on=True)
            st.rerun()


def way_out() -> None:
    """The button that leaves, in a corner; Escape is the same."""
    if address.presenting():
        with st.container(key="ivx-leave"):
            leave = partial(address.present, on=False)
            st.button("Leave", type="tertiary", icon=":material/close:", on_click=leave, help="No longer present: Esc.")
