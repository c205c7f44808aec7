"""Maps: the columns that the samples of a request share, and the address behind each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.game.request import EffectsRequest, ScanRequest
from ivx.engine.address import ABLATIONS
from ivx.errors import IvxError
from ivx.patching.positions import QUERY, position_of, shown, told_columns
from ivx.patching.positions import Column as Column
from ivx.tasks.samples import Sample, Samples

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


def map_of(site: str, model: Model, request: EffectsRequest, samples: Samples) -> tuple[Column, ...]:
    """The columns of one site's map: heads for `z`, else the positions asked for."""
    if site == "z":
        return tuple(Column(f"h{head}", head) for head in range(model.heads))
    rows = samples.rows
    if request.direction == "denoise":
        every = columns_of(model, rows)
    else:
        told = (*rows, *(samples.control if "task" in request.controls else ()), *samples.neutral)
        every = told_columns(model, told, noise=request.direction == "noise")
    if request.position == "all":
        return every
    return (column_at(every, request.position, rows),)


def column_at(every: Sequence[Column], position: str, rows: Sequence[Sample]) -> Column:
    """The column that `first`, `last`, `query` or an index names; last counts from the end."""
    if position == "last":
        return every[-1]._replace(position=-1)
    if position == "query":
        return next(column for column in every if column.label.startswith(QUERY))
    wanted = position_of(position, rows)
    return next((column for column in every if column.position == wanted), Column(f"token {wanted}", wanted))


def columns_of(model: Model, rows: Sequence[Sample]) -> tuple[Column, ...]:
    """The columns of the bare prompts: tokens before the query, its first and last token, tokens after it.

    Tokens after the query are counted from the end, so that queries of several tokens align.
    """
    leads = {s.target[s.first : s.query_span[0]] for s in rows}
    tails = {s.target[s.query_span[1] :] for s in rows}
    words = {s.query_span[1] - s.query_span[0] for s in rows}
    if len(leads) > 1 or len(tails) > 1:
        raise IvxError("the prompts of these samples do not share the tokens around the query, so they do not align")
    lead, tail, first = leads.pop(), tails.pop(), rows[0].first
    found = [Column(shown(model, token), first + i) for i, token in enumerate(lead)]
    if words == {1}:
        found.append(Column(f"{QUERY}›", first + len(lead), True))
    else:
        found.append(Column(f"{QUERY}…", first + len(lead), True))
        found.append(Column("…query›", -len(tail) - 1, True))
    found += [Column(shown(model, token), i - len(tail)) for i, token in enumerate(tail)]
    return tuple(found)
