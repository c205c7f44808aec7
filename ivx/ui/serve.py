"""Serve the app from the command line, and preload what a visitor needs.

Before the first visitor comes: what the first page shows; once that is painted: torch and a checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType

from ivx import scratch
from ivx.jobs.worker import worker
from ivx.models.cluster import named
from ivx.ui import metrics, tidy
from ivx.ui.frame import SERVED
from ivx.ui.kit import limits, visitor

ENTRY = Path(__file__).parent / "entry" / "app.py"
LOOK_SECONDS, PATIENCE = 0.05, 30.0
PAINTED_SECONDS = 2.0
"""From a page's drawing to its being painted, on a slow machine: reading torch would hold it up."""


def serve(port: int, *, metrics_at: str = "") -> None:
    """Serve the app on this machine alone, until it is interrupted.

    Args:
        metrics_at: port of this machine, or `127.0.0.1:port`, that metrics are told at; by default `IVX_METRICS`, and
            nowhere where that is not set.

    Raises:
        IvxError: it can have no store, no cluster can be what `IVX_RAY` names, or a limit or the address of metrics is
            none.
    """
    named()
    limits.limits()
    told = limits.metrics_at(metrics_at) or limits.metrics()
    tidy.few_arenas()
    worker()
    scratch.swept()
    visitor.swept()
    if told is not None:
        metrics.begin(*told, sessions=tidy.sessions)
    from streamlit.web import cli

    threading.Thread(target=_warm, name="ivx-warm", daemon=True).start()
    signal.signal(signal.SIGTERM, _terminated)
    cli.main(["run", str(ENTRY), "--server.port", str(port)], standalone_mode=False)


def _terminated(number: int, _frame: FrameType | None) -> None:
    """End by a signal, which whoever serves raises anew when it has ended: a call that never returns is not waited for,
    and yet no folder is left to the next server."""
    scratch.end()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _warm() -> None:
    """Read, judge and draw what the first page shows, once Streamlit is up, whose caches keep it."""
    from streamlit import runtime

    while not runtime.exists():
        time.sleep(LOOK_SECONDS)
    from ivx.analyses.defaults import FIRST
    from ivx.analyses.family import family_of
    from ivx.jobs.worker import Wake
    from ivx.tasks import catalogue
    from ivx.ui.overview import family, page

    checkpoint, task = page.first()
    real = family_of(checkpoint)
    if real is None:
        _warm_panels(checkpoint, task)
    else:
        asked = family.Asked(real, checkpoint, task, "contrast")
        worker().submit(asked.place, session="ivx-warm", compute=False)
        family.warm(asked)
    for collection in catalogue.COLLECTIONS:
        catalogue.tasks(collection)
    SERVED.wait()
    time.sleep(PAINTED_SECONDS)
    worker().submit(Wake(FIRST[0]), session="ivx-warm")


def _warm_panels(checkpoint: str, task: str) -> None:
    """The panels of one checkpoint and one task."""
    from ivx.analyses.defaults import glance
    from ivx.charts.palette import DARK, LIGHT
    from ivx.ui.overview.panels import found_of, panels_of

    jobs = [
        worker().submit(request, session="ivx-warm", compute=False) for request in glance(checkpoint, task).values()
    ]
    if all(job.wait(PATIENCE) and job.view().result is not None for job in jobs):
        effects, separability, game = (job.view().result for job in jobs)
        found = found_of(effects, separability, game, "contrast")
        for palette in (LIGHT, DARK):
            panels_of(found, found.strongest, palette)
