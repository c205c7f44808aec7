"""What is being computed and what waits, whoever asked for it; what nobody looks at, anybody may stop."""

from __future__ import annotations

import streamlit as st

from ivx.jobs.worker import worker
from ivx.ui.kit import pieces, progress, session


def show() -> None:
    """Draw the jobs in their turns, as they go on; nothing where there are none."""
    if worker().under_way():
        st.fragment(_draw, run_every=session.tick())()


def _draw() -> None:
    jobs = worker().under_way()
    if not jobs:
        st.rerun()  # what was computed is in the list now
    pieces.head("Under way", "in their turns")
    for job in jobs:
        line, stop = st.columns([3, 1], gap="small", vertical_alignment="center")
        with line:
            pieces.note(progress.named(job))
        if session.may_stop(job) and stop.button(
            "Stop", key=f"stop-{job.number}", width="stretch", help="What is done is kept."
        ):
            session.stop(job)
            st.rerun()  # the whole page: the click may have come with a run of all of it
