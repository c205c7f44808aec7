"""Greedy text on an evidence card: what the model writes for two samples, with and without the patch."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.texts.request import TextRequest
from ivx.jobs.job import View
from ivx.models.registry import embedded
from ivx.ui.kit import session

TOKENS = 6
"""The most that is written."""


def follows(result: Any, detail: Sequence[dict[str, Any]], *, live: bool) -> bool:
    """Whether a card ends in texts: once its map is done, and where the model is here."""
    return not live and not result.receipt.get("imported") and len(detail) > 1


def show(result: Any, patch: str, detail: Sequence[dict[str, Any]]) -> None:
    """The texts of the samples with the largest and the smallest effect; asked of the worker, so they come later.

    On a checkpoint that is not embedded they wait for a click, since it may have to be loaded for them.
    """
    ranked = sorted(range(len(detail)), key=lambda k: -detail[k]["effect"])
    request = TextRequest.for_cell(result.request, patch, (ranked[0], ranked[-1]), tokens=TOKENS)
    job = session.job(request, compute=embedded(request.checkpoint) is not None)
    if job is None:
        if st.button("Write the text with and without the patch", type="tertiary"):
            session.start(request)
            st.rerun()
        return
    live = job.view(session.session()).live

    def look() -> None:
        now = job.view(session.session())
        if live and not now.live:
            st.rerun()  # the whole page once more, without the timer
        _draw(now)

    st.fragment(look, run_every=session.tick() if live else None)()


def _draw(now: View) -> None:
    if now.live:
        rows = '<div class="soft">being written …</div>'
    elif now.result is None:
        rows = f'<div class="soft">{escape(now.message or "not written")}</div>'
    else:
        rows = "".join(
            f'<div><span class="soft">{escape(text.query)}, answer {escape(text.answer)}:</span> '
            f"{_quoted(text.before)} → <b>{_quoted(text.after)}</b></div>"
            for text in now.result
        )
    st.html(f'<div class="ivx-card ivx-text" data-testid="ivx-text"><h6>Greedy text, before → after</h6>{rows}</div>')


def _quoted(text: str) -> str:
    return f"<code>{escape(text)}</code>" if text else '<span class="soft">nothing</span>'
