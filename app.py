"""ivx in the browser: `streamlit run app.py`."""

from __future__ import annotations

from ivx.ui import frame

frame.run()
