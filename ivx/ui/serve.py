"""The app from the command line: while the server waits for its first guest, what the first page needs is read."""

from __future__ import annotations

import threading
import time
from importlib import import_module

from ivx.ui.frame import ROOT

LOOK_SECONDS = 0.05


def serve(port: int) -> None:
    """Serve the app on this machine alone, until it is interrupted."""
    from streamlit.web import cli

    threading.Thread(target=_warm, name="ivx-warm", daemon=True).start()
    cli.main(["run", str(ROOT / "app.py"), "--server.port", str(port)], standalone_mode=False)


def _warm() -> None:
    """Import the first page's parts and make its tasks, once Streamlit stands, whose caches they join."""
    from streamlit import runtime

    while not runtime.exists():
        time.sleep(LOOK_SECONDS)
    import_module("ivx.ui.overview")
    import_module("ivx.analysis.saved.effects")
    import_module("ivx.analysis.saved.interactions")
    import_module("ivx.tasks.catalogue").tasks("tiny")
