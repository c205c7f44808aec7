"""Signing in, on a server that asks for it: Streamlit's own OpenID Connect, by the section `auth` of its secrets.

Without that section everybody who reaches the server may use it. With it, or where the secrets cannot be read and so
nobody knows whether it is there, no page is drawn before somebody has signed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import streamlit as st

from ivx.ui.kit import pieces


def required(*, styled: Callable[[], None]) -> None:
    """Draw the sign-in and end the run, unless the visitor may see the page; `styled` styles what is drawn then."""
    if not any(os.path.lexists(path) for path in st.get_option("secrets.files")):
        return
    try:
        asked = "auth" in st.secrets
    except FileNotFoundError:  # Streamlit raises this for a file that it cannot read, too
        styled()
        st.error("The server's secrets.toml cannot be read, so no page is shown: mend it and start the server again.")
        st.stop()
    if not asked:
        return
    if not st.user.get("is_logged_in"):
        styled()
        pieces.theme()
        pieces.title(
            "This server asks who you are",
            "You sign in with the provider that its owner chose, and come back to this page; ivx sees no password.",
        )
        st.button("Sign in", type="primary", on_click=st.login)
        st.stop()
    st.sidebar.button("Sign out", on_click=st.logout, key="sign-out")
