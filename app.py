"""ivx in the browser, from a checkout: `streamlit run app.py`; elsewhere `ivx app`."""

from __future__ import annotations

from ivx.ui import frame

frame.run()
