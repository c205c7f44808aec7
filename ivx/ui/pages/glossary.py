"""What do the words mean?"""

from __future__ import annotations

import streamlit as st

from ivx.ui.kit import glossary, pieces

pieces.theme()
pieces.title(
    "What do the words mean?",
    "The terms that ivx dots on its pages, where hovering, tapping or tabbing to one shows the same explanation.",
)
st.html(glossary.listed())
