"""The script that Streamlit runs; it stands alone in its folder, which Streamlit puts before all others on the path."""

from __future__ import annotations

from ivx.ui import frame

frame.run()
