"""The frame around every page: top navigation, style, and what is said when a page cannot be shown."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas  # noqa: F401  (Altair looks whether it is there, and must not find it half imported by another thread)
import streamlit as st
from streamlit.navigation.page import Page

from ivx.errors import IvxError
from ivx.ui import signin

PAGES = Path(__file__).with_name("pages")
"""One script per page.

No script that Streamlit is started with may lie beside this folder: Streamlit would run a page by itself, without the
frame, when a session's first request names one.
"""
STYLE = Path(__file__).with_name("style.css")
LOGO = Path(__file__).with_name("logo.svg")
KEPT = (
    "checkpoint", "task", "metric", "by", "format", "spelling", "template", "system", "asked", "placed",
)  # fmt: skip
"""Keys of widgets whose choice outlives a page that does not have them: Streamlit would drop it."""
SERVED = threading.Event()
"""Set once a guest's first page was drawn."""


def _pages() -> dict[str, list[Page]]:
    """The pages, by the menu that holds them; those of the menu without a name stand in the bar itself.

    The landing page is a hidden one that leads on, so that every page keeps its own address.
    """

    def page(name: str, title: str) -> Page:
        return st.Page(PAGES / f"{name}.py", title=title, url_path=name)

    return {
        "": [
            st.Page(_landing, title="ivx", url_path="home", default=True, visibility="hidden"),
            page("overview", "Overview"),
        ],
        "Learn": [page("lessons", "Lessons"), page("glossary", "Glossary")],
        "Explore": [
            page("behaviour", "Behaviour"),
            page("place", "Place"),
            page("effects", "Effects"),
            page("separability", "Separability"),
            page("interactions", "Interactions"),
            page("lens", "Patch lens"),
            page("bench", "Vector bench"),
        ],
        "Compare": [page("training", "Post-training"), page("pathways", "Pathways")],
        "Library": [page("checkpoints", "Checkpoints"), page("tasks", "Tasks"), page("runs", "Runs")],
    }


def _landing() -> None:
    st.switch_page(PAGES / "overview.py")


def run() -> None:
    """The entry script: navigation, then the page."""
    st.set_page_config(page_title="ivx", page_icon=str(LOGO), layout="wide", initial_sidebar_state="collapsed")
    st.logo(str(LOGO), size="medium")
    signin.required(styled=_style)
    page = st.navigation(_pages(), position="top")
    st.set_page_config(page_title=page.title if page.title == "ivx" else f"{page.title} · ivx")
    _style()
    for key in KEPT:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]
    try:
        page.run()
    except IvxError as error:  # raised before the page has a job that could report it
        from ivx.ui.kit import pieces

        pieces.refusal("This cannot be shown", str(error), "Mend it, and load the page again.")
    SERVED.set()


def _style() -> None:
    st.html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
