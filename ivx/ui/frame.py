"""The frame around every page: top navigation, style, and what is said when a page cannot be shown."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas  # noqa: F401  (Altair looks whether it is there, and must not find it half imported by another thread)
import streamlit as st
from streamlit.navigation.page import Page

from ivx.errors import IvxError
from ivx.ui import signin
from ivx.ui.kit import address, keyboard, present
from ivx.ui.kit.pieces import TITLED
from ivx.ui.turnstile import Turnstile

PAGES = Path(__file__).with_name("pages")
"""One script per page.

No script that Streamlit is started with may lie beside this folder: Streamlit would run a page by itself, without the
frame, when a session's first request names one.
"""
STYLE = Path(__file__).with_name("style.css")
LOGO = Path(__file__).with_name("logo.svg")
MENUS = {
    "": {"overview": "Overview"},
    "Learn": {"lessons": "Lessons", "glossary": "Glossary"},
    "Explore": {
        "behaviour": "Behaviour",
        "place": "Place",
        "effects": "Effects",
        "separability": "Separability",
        "interactions": "Interactions",
        "mechanism": "Mechanism",
        "lens": "Patch lens",
        "bench": "Vector bench",
    },
    "Compare": {"training": "Post-training", "pathways": "Pathways", "atlas": "Atlas"},
    "Library": {"checkpoints": "Checkpoints", "tasks": "Tasks", "runs": "Runs"},
}
"""The pages' addresses and titles, by the menu that holds them; those of the first stand in the bar itself."""
HERE = "background: var(--ivx-nothing); font-weight: 600;"
SERVED = threading.Event()
"""Set once a guest's first page was drawn."""
DRAWN = Turnstile()
"""What all sessions' pages are drawn behind."""


def _pages() -> dict[str, list[Page]]:
    """The landing page is a hidden one that leads on, so that every page keeps its own address."""
    landing = st.Page(_landing, title="ivx", url_path="home", default=True, visibility="hidden")
    found = {
        menu: [st.Page(PAGES / f"{name}.py", title=title, url_path=name) for name, title in held.items()]
        for menu, held in MENUS.items()
    }
    return found | {"": [landing, *found[""]]}


def _landing() -> None:
    if not address.stepped():
        st.switch_page(PAGES / "overview.py")
    # Led on from here once more, the browser could never step back beyond this page.
    from ivx.ui.kit import pieces
    from ivx.ui.overview import page

    page.show(pieces.theme())


def run() -> None:
    """The entry script: navigation, then the page."""
    st.set_page_config(page_title="ivx", page_icon=str(LOGO), layout="wide", initial_sidebar_state="collapsed")
    st.logo(str(LOGO), size="medium")
    signin.required(styled=_style)
    page = st.navigation(_pages(), position="top")
    st.set_page_config(page_title=page.title if page.title == "ivx" else f"{page.title} · ivx")
    address.enter(page.url_path)
    _style(page.url_path)
    keyboard.walks()
    present.way_out()
    st.session_state[TITLED] = False
    try:
        with DRAWN.passed(_still_here):
            _told_of_the_store()
            page.run()
            address.keep()
    except IvxError as error:  # raised before the page has a job that could report it
        from ivx.ui.kit import pieces

        pieces.refusal("This cannot be shown", str(error), "Fix this, then reload the page.")
    SERVED.set()


def _still_here() -> None:
    """End a run that nobody waits for any more: Streamlit looks whenever the session's state is looked at."""
    _ = TITLED in st.session_state


def _told_of_the_store() -> None:
    """Say, above the page, where nothing new can be kept."""
    from ivx.ui.kit import owned, pieces

    if told := owned.nothing_is_kept():
        pieces.note(told)


def _style(page: str = "") -> None:
    """The style, and the mark of the menu that holds the page, which Streamlit marks only once it is opened."""
    css = STYLE.read_text(encoding="utf-8")
    bar = [*MENUS[""], *filter(None, MENUS)]
    for menu, held in MENUS.items():
        if menu and page in held:
            css += f'[data-testid="stTopNav"] > :nth-child({bar.index(menu) + 1}) button {{ {HERE} }}'
    if address.presenting():
        css = present.style(css)
    st.html(f"<style>{css}</style>")
