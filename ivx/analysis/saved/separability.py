"""Separability apart from its rows: the tasks and the wordings that were read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analysis.saved.samples import MAX_SAMPLES, layers_read
from ivx.analysis.separation import Read, Separability
from ivx.analysis.values import each, refuse, text, whole
from ivx.runs.probing import SeparabilityRequest

MAX_WORDINGS = 200_000
KEYS = ("tasks", "wordings")


def written(found: Separability) -> dict[str, Any]:
    """Tasks, and each wording as its task's number, its text, its family and its token."""
    return {
        "tasks": list(found.tasks),
        "wordings": [[found.tasks.index(w.task), w.text, w.family, w.token] for w in found.wordings],
    }


def read(request: SeparabilityRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Separability:
    """The result; raises `IvxError`."""
    tasks = tuple(each(told["tasks"], "tasks", text, most=MAX_SAMPLES, least=2))

    def wording(told: Any, what: str) -> Read:
        if not isinstance(told, list) or len(told) != 4:
            refuse(what, "a task's number, a text, a family and a token")
        task = tasks[whole(told[0], f"{what}, task", 0, len(tasks) - 1)]
        return Read(task, *(text(part, what) for part in told[1:]))

    wordings = tuple(each(told["wordings"], "wordings", wording, most=MAX_WORDINGS, least=1))
    return Separability(request, table, tasks, wordings, layers_read(told), receipt)
