"""Maps: the columns of an effects request, and the address behind each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.engine.address import ABLATIONS
from ivx.patching.part import within
from ivx.patching.positions import Column as Column
from ivx.patching.positions import column_at, columns_of, told_columns
from ivx.tasks.samples import Samples

if TYPE_CHECKING:
    from ivx.models.model import Model


def address_of(request: EffectsRequest | ScanRequest, site: str, layer: int, column: Column, *, at: int = 0) -> str:
    """The patch of one cell, in the grammar of `ivx.engine.address`; where samples differ, with named positions.

    A scan's columns are source tokens, and its patches stand at one position, `at`.
    Heads are patched at the answer position; they are set to zero or to their mean at all positions, unless one is
    asked for.
    """
    if isinstance(request, ScanRequest):
        return f"{site}.{layer}@{at}~{column.position}"
    ablated = request.direction in ABLATIONS
    if site == "z":
        where = f"z.{layer}.{column.position}"
        if ablated:
            return f"{where}@{'*' if request.position == 'all' else -1}={request.direction}"
        return f"{where}@-1~-1"
    where = f"{site}.{layer}@{column.position}"
    if request.direction == "denoise":
        return f"{where}~-1"
    return f"{where}={request.direction}" if ablated else where


def together(request: EffectsRequest, site: str, layer: int, columns: Sequence[Column], *, layers: int) -> str:
    """The patches of one cell: of the layers around its own, at these columns; lower layers first."""
    first, last = max(0, layer - (request.window - 1) // 2), min(layers - 1, layer + request.window // 2)
    return ",".join(address_of(request, site, one, column) for one in range(first, last + 1) for column in columns)


def map_of(site: str, model: Model, request: EffectsRequest, samples: Samples) -> tuple[Column, ...]:
    """The columns of one site's map: heads for `z`, else the positions asked for."""
    if site == "z":
        heads = within("heads", request.heads, model.heads)
        return tuple(Column(f"h{head}", head) for head in heads)
    rows = samples.rows
    if request.direction == "denoise":
        every = columns_of(model, rows)
    else:
        told = (*rows, *(samples.control if "task" in request.controls else ()), *samples.neutral)
        every = told_columns(model, told, noise=request.direction == "noise")
    if request.position == "all":
        return every
    return (column_at(every, request.position, rows),)
