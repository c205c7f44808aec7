"""The script that Streamlit runs; it stands in a folder without others, which Streamlit puts before all on the path."""

from __future__ import annotations

from ivx.ui import frame

frame.run()
