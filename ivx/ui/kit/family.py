"""A real family's stored runs, looked up at once, and drawn: the place, its readers, and whose vector is read by whom.

Nothing here needs the checkpoints' weights, or their tokenizers: tokens and labels are the runs' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ivx.analyses.compare.exchange import Change, Crossed, Exchange
from ivx.analyses.family import Family
from ivx.analyses.place.drawing import dots
from ivx.analyses.place.found import At, Found
from ivx.analyses.place.readers import Readers
from ivx.analyses.place.result import Place
from ivx.charts.palette import Palette
from ivx.charts.readers import reader_curve
from ivx.charts.shares import shares_chart
from ivx.errors import IvxError
from ivx.jobs.compute import id_of
from ivx.jobs.worker import worker
from ivx.models.registry import known
from ivx.stats.metrics import find
from ivx.ui.kit import session

HEIGHT, LABELS = 300, 44
"""Height of a panel's plot, and of what stands over a matrix, in pixels."""


def stage(name: str) -> str:
    """What a checkpoint is called in the matrix: its stage, or its name."""
    one = known(name)
    return one.stage if one else name


def listed(numbers: Sequence[int]) -> str:
    """Numbers as one says them: 13, 15, 16 and 18."""
    words = [str(number) for number in numbers]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def blocks(found: Readers | None) -> str:
    """The blocks that read, as one says them; empty where none does by itself."""
    if found is None or not found.blocks:
        return ""
    return f"block{'s' * (len(found.blocks) > 1)} {listed(found.blocks)}"


def anchored(family: Family) -> At | None:
    """Where vectors are put in all checkpoints of a family; None while the search for it is not stored."""
    found: Place | None = session.looked_up(family.anchor)
    return None if found is None else judged(found, "contrast").at


def exchanged(family: Family, task: str, at: At) -> Exchange | None:
    """The vectors of every checkpoint in each of them; None where a part of it is not stored."""
    store, transplants = worker().store, {}
    try:
        vectors = {name: id_of(store, family.vectors(name, task, at)) for name in family.names}
    except IvxError:  # a checkpoint that is not known here
        return None
    for key in family.keys(task):
        found = session.looked_up(family.transplant(key[2], task, at, vectors=vectors[key[1]]))
        if found is None:
            return None
        transplants[key] = found
    return Exchange(family.names, (task,), transplants)


@dataclass(frozen=True)
class Judged:
    """What a search says in one metric."""

    found: Found | None
    readers: Readers | None
    at: At | None


@st.cache_data(max_entries=60, show_spinner=False, hash_funcs={Place: lambda r: (r.run_id, r.table.num_rows)})
def judged(result: Place, metric: str) -> Judged:
    return Judged(result.found(metric), result.readers(metric), result.at)


@st.cache_data(max_entries=30, show_spinner=False)
def changes(_found: Exchange, runs: tuple[str, ...], metric: str) -> tuple[list[Crossed], list[Change]]:
    """Cells and changes of the transplants of these runs."""
    return _found.cells(metric), _found.changes(metric)


def curve(readers: Readers, metric: str, p: Palette) -> dict[str, Any]:
    """The reader curve's spec."""
    unit = find(metric).unit
    told = f"Read so far by block, from layer {readers.layer}; {blocks(readers) or 'none'} read"
    return reader_curve(
        dots(readers), layer=readers.layer, whole=readers.whole, unit=unit, palette=p, height=HEIGHT, alt_text=told
    )


def matrix(found: Exchange, cells: list[Crossed], metric: str, p: Palette, *, hidden: bool = False) -> dict[str, Any]:
    """The spec of whose vector is read by whom, of the exchange's first task."""
    return shares_chart(
        found.squares(found.tasks[0], cells),
        names=[stage(name) for name in found.names],
        unit=find(metric).unit,
        palette=p,
        height=HEIGHT - LABELS,
        hidden=hidden,
        alt_text=f"{found.tasks[0]}: share that follows with the vectors of {', '.join(found.names)} in each of them",
    )
