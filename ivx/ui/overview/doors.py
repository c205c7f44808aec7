"""The doors: what ivx is, and three ways in, in one band over the Overview until it is hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.ui.kit.address import RUN

PAGES = Path(__file__).parents[1] / "pages"
SAID = (
    "<b>ivx</b> shows where a language model keeps an instruction: copy one internal state into a prompt without it, "
    "and see the answer move."
)
HIDDEN = "ivx_doors"
"""The cookie, and the session's key, that say that the band is hidden; the server reads it, so that nothing jumps."""
YEAR = 31_536_000


def show(band: DeltaGenerator, view: Callable[[], dict[str, str]]) -> None:
    """Draw the band, unless this browser hid it; `view` tells the address on Effects of the map that is shown."""
    if HIDDEN in st.context.cookies:
        return
    if st.session_state.get(HIDDEN):
        script = f'document.cookie = "{HIDDEN}=hidden; Max-Age={YEAR}; Path=/; SameSite=Lax"'
        band.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
        return
    st.session_state.pop(RUN, None)  # a run that another page showed last would stand in the way of the map's own
    with band.container(key="doors", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<div class="ivx-said">{SAID}</div>')
        st.page_link(PAGES / "lessons.py", label="A three-minute lesson ›")
        st.page_link(PAGES / "effects.py", label="Read this map ›", query_params=view())
        st.page_link(PAGES / "checkpoints.py", label="My checkpoint ›")
        st.button("Hide", type="tertiary", on_click=_hide, help="Not shown again in this browser.")


def _hide() -> None:
    st.session_state[HIDDEN] = True
