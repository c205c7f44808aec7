"""Signing in, on a server that asks for it: Streamlit's own OpenID Connect, by the section `auth` of its secrets.

Without that section everybody who reaches the server may use it. With it, or where the secrets cannot be read and so
nobody knows whether it is there, no page is drawn before somebody has signed in.
"""

from __future__ import annotations

import os

import streamlit as st


def required() -> None:
    """End the run here, with the way in, unless whoever looks may see the page."""
    if not any(os.path.lexists(path) for path in st.get_option("secrets.files")):
        return
    try:
        asked = "auth" in st.secrets
    except FileNotFoundError:  # Streamlit's word for a file that it cannot read, too
        st.error("The server's secrets.toml cannot be read, so no page is shown: mend it and start the server again.")
        st.stop()
    if not asked:
        return
    if not st.user.get("is_logged_in"):
        st.html('<div class="ivx-q" role="heading" aria-level="1">This server asks who you are</div>')
        st.button("Sign in", type="primary", on_click=st.login)
        st.stop()
    st.sidebar.button("Sign out", on_click=st.logout, key="sign-out")
