"""The frame around every page: top navigation, style, and the cure for cold deep links.

Streamlit runs a file under `pages/` by itself when somebody's first request names it. So every page begins with
`begin()`, which, when the page was run bare, builds the navigation and starts the run again, once.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pandas  # noqa: F401  (Altair looks whether it is there, and must not find it half imported by another thread)
import streamlit as st

from ivx.errors import IvxError
from ivx.ui import signin

ROOT = Path(__file__).resolve().parent.parent.parent
STYLE = Path(__file__).with_name("style.css")
LOGO = Path(__file__).with_name("logo.svg")
FRAMED = "ivx.framed"
"""Set by the entry script for the page that it is about to run."""
RESTARTED = "ivx.restarted"
KEPT = ("checkpoint", "task", "metric")
"""Keys of widgets whose choice outlives a page that does not have them: Streamlit would drop it."""
SERVED = threading.Event()
"""Set once a guest's first page was drawn."""


def _pages() -> list:
    """The pages, in order. The landing page is a hidden one that leads on, so that every page keeps its own address."""
    folder = ROOT / "pages"
    return [
        st.Page(_landing, title="ivx", url_path="home", default=True, visibility="hidden"),
        st.Page(folder / "overview.py", title="Overview", url_path="overview"),
        st.Page(folder / "effects.py", title="Effects", url_path="effects"),
        st.Page(folder / "separability.py", title="Separability", url_path="separability"),
        st.Page(folder / "interactions.py", title="Interactions", url_path="interactions"),
        st.Page(folder / "pathways.py", title="Pathways", url_path="pathways"),
        st.Page(folder / "training.py", title="Post-training", url_path="training"),
        st.Page(folder / "lens.py", title="Patch lens", url_path="lens"),
        st.Page(folder / "bench.py", title="Vector bench", url_path="bench"),
        st.Page(folder / "lessons.py", title="Lessons", url_path="lessons"),
        st.Page(folder / "checkpoints.py", title="Checkpoints", url_path="checkpoints"),
        st.Page(folder / "tasks.py", title="Tasks", url_path="tasks"),
        st.Page(folder / "runs.py", title="Runs", url_path="runs"),
    ]


def _landing() -> None:
    st.switch_page(ROOT / "pages" / "overview.py")


def run() -> None:
    """The entry script: navigation, then the page."""
    st.set_page_config(page_title="ivx", page_icon=str(LOGO), layout="wide", initial_sidebar_state="collapsed")
    st.logo(str(LOGO), size="medium")
    signin.required(styled=_style)
    page = st.navigation(_pages(), position="top")
    st.session_state[FRAMED] = True
    for key in KEPT:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]
    try:
        page.run()
    except IvxError as error:  # of whatever a page needs before it has a job to say it
        from ivx.ui.kit import pieces

        pieces.refusal("This cannot be shown", str(error), "Mend it, and load the page again.")
    SERVED.set()


def begin() -> None:
    """The first statement of every page: makes sure the frame is drawn, then styles the page."""
    framed = st.session_state.pop(FRAMED, False)
    if not framed and not st.session_state.get(RESTARTED):
        st.session_state[RESTARTED] = True
        st.navigation(_pages(), position="top")
        st.rerun()
    st.session_state.pop(RESTARTED, None)
    if not framed:
        signin.required(styled=_style)
    _style()


def _style() -> None:
    st.html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
