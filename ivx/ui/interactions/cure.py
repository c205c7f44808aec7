"""Where a game is refused for its task: another one of the same checkpoint that can be played."""

from __future__ import annotations

import streamlit as st

from ivx.errors import IvxError
from ivx.jobs.job import View
from ivx.models import files, library
from ivx.patching.positions import position_of, taken
from ivx.request import Request
from ivx.tasks import catalogue
from ivx.tasks.samples import build
from ivx.ui.kit import asking, checkpoints
from ivx.ui.kit.blanks import Cure
from ivx.ui.kit.choices import task_name


def cure_of(request: Request, now: View) -> Cure | None:
    """The first task that can be asked like this; None where this one can, or none."""
    if now.state != "refused" or _can(request, request.task):
        return None
    names = catalogue.tasks(checkpoints.collection_of(request.checkpoint))
    other = next((name for name in names if _can(request, name)), None)
    if other is None:
        return None
    view = {"checkpoint": request.checkpoint, "task": other, "game": "" if request.kind == "game" else "stream"}
    view |= {"at": request.position, "from": request.source_token, **asking.chosen_by(request.way), "asked": "plain"}
    kept = {name: value for name, value in view.items() if value}
    return Cure("Another task can be played like this on this checkpoint.", task_name(other), "interactions", kept)


@st.cache_data(max_entries=500, show_spinner=False)
def _can(request: Request, task: str) -> bool:
    """Whether a task can be asked at this source token and position; reads no weights."""
    try:
        pair = catalogue.find(task, collection=checkpoints.collection_of(request.checkpoint))
        tokenizer = library.tokenizer(files.locate(request.checkpoint), name=request.checkpoint)
        rows = build(pair, tokenizer, way=request.way, samples=request.samples, seed=request.seed).rows
        for row in rows:
            taken(request.source_token, row)
        position_of(request.position, rows)
    except IvxError:
        return False
    return True
