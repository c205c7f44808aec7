"""A stored run of behaviour that recommends demonstrations: a real one, its verdicts set."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

import ivx
from ivx.analyses.base import Result
from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.registry import context
from ivx.jobs.shipped import CONTEXT
from ivx.models.model import Model
from ivx.store.store import Store


def asked_by(model: Model, task: str, *, seed: int = 0) -> Behaviour:
    """Few texts, by `prompt` and by `demonstrations`."""
    return ivx.behaviour(model, [task], ways=("prompt", "demonstrations"), samples=12, tokens=4, seed=seed)


def with_verdicts(found: Behaviour, **followed: int) -> Behaviour:
    """So many of the first samples follow, by way, when told; none untold."""
    rows = found.table.to_pylist()
    hits = [row["told"] and row["sample"] < followed[row["way"]] for row in rows]
    at = found.table.column_names.index("followed")
    return replace(found, table=found.table.set_column(at, "followed", pa.array(hits)))


def keep(store: Store, found: Result[Any], **more: object) -> None:
    """Store a finished run."""
    asked = {"kind": found.request.kind, "request": asdict(found.request), "checkpoint": found.receipt["checkpoint"]}
    run = store.begin(found.run_id, asked=asked | more)
    run.append(found.table)
    run.keep(CONTEXT, context(found))
    run.complete(found.receipt)
