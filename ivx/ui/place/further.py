"""A further question about a place, asked under it: begun at once on an embedded checkpoint, else on a click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ivx.models.registry import embedded
from ivx.request import BaseRequest
from ivx.ui.kit import blanks, pieces, progress, session

TAKEN = (
    *("checkpoint", "task", "against", "target_format", "samples", "template", "system", "demonstrations", "spelling"),
    "wording",
    *("seed", "dtype", "device", "adapter", "weights"),
)
"""Fields that are the search's."""


def follow(wanted: BaseRequest, draw: Callable[[Any], None], *, button: str, key: str) -> None:
    """Draw its result once it is there; until then the cost and the button, or how far it is.

    Args:
        key: of its buttons, of which a page has those of several.
    """
    job = session.job(wanted, compute=embedded(wanted.checkpoint) is not None)
    if job is None:
        blanks.costs([wanted])
        if st.button(button, key=f"{key}-run", type="primary"):
            session.start(wanted)
            st.rerun()
        return
    live = job.view(session.session()).live

    def look() -> None:
        now = job.view(session.session())
        if live and not now.live:
            st.rerun()  # the whole page once more, without the timer
        if now.live:
            pieces.note(progress.status(now) if now.done else progress.waiting(wanted, now))
            progress.running(wanted, now, key=f"{key}-stop")
        elif now.state == "done":
            draw(now.result)
        elif now.state == "stopped":
            progress.stopped(wanted, key=f"{key}-stop-on")
        else:
            blanks.ended_badly(wanted, now, narrow=True)

    st.fragment(look, run_every=session.tick() if live else None)()
