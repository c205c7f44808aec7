"""Carriers: what an effect may pass through behind its patch, and the addresses that close or open each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ivx.analyses.mediation.request import MediationRequest
from ivx.engine.address import OWN, STREAM
from ivx.errors import IvxError
from ivx.numeral import spans
from ivx.patching.positions import QUERY, Places, column_at, columns_of
from ivx.tasks.sample import Sample

if TYPE_CHECKING:
    from ivx.models.model import Model

LONGEST = 4_000
"""Characters of an address that a table keeps."""
COMPONENTS = ("attn_out", "mlp_out")


class Carrier(NamedTuple):
    """One head, component or token, or one edge to a head.

    `row` and `column` are its place on a map; `own` the addresses that give it its own value, behind the vector's; of
    an edge, those that leave open nothing else.
    """

    label: str
    row: int
    column: int
    own: tuple[str, ...]


class Carriers(NamedTuple):
    """All carriers of a request: the vector's address, the carriers, and the names of the map's rows and columns."""

    put: str
    every: tuple[Carrier, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    def address(self, chosen: Sequence[int]) -> str:
        """The vector with some carriers set to their own values."""
        own = dict.fromkeys(part for k in sorted(chosen) for part in self.every[k].own)
        return ",".join([self.put, *own])


def word_places(sample: Sample) -> Places:
    """The query's tokens by name, from the end; a name beyond a query's own tokens means its last."""
    begin, end = sample.query_span
    return {f"word{k}": min(begin + k, end - 1) - len(sample.target) for k in range(MOST_WORDS)}


MOST_WORDS = 16
"""Most tokens of a query."""


def carriers_of(model: Model, request: MediationRequest, rows: Sequence[Sample]) -> Carriers:
    """The carriers of a request; raises `IvxError` where there are none."""
    if request.layer >= model.layers - 1:
        last = model.layers - 1
        raise IvxError(
            f"layer is {request.layer}: nothing is behind the last layer, so choose one from 0 to {last - 1}"
        )
    every = columns_of(model, rows)
    column = column_at(every, request.position, rows)
    put = f"{STREAM}.{request.layer}@{column.position}~-1"
    later = range(request.layer + 1, model.layers)
    if request.through == "positions":
        found = _tokens(request, rows, [c.label for c in every], [c.position for c in every], column.position, later)
        told = Carriers(put, found, ("",), tuple(one.label for one in found))
    else:
        layers = tuple(layer for layer in (spans(request.layers) if request.layers else later) if layer in later)
        if not layers:
            raise IvxError(f"layers {request.layers}: none of them is behind layer {request.layer} of {model.layers}")
        names = tuple(f"L{layer}" for layer in range(model.layers))
        heads = tuple(f"h{head}" for head in range(model.heads))
        if request.through == "components":
            found = tuple(
                Carrier(f"L{layer} {word}", layer, k, (f"{site}.{layer}@*={OWN}",))
                for layer in layers
                for k, (site, word) in enumerate(zip(COMPONENTS, ("attention", "MLP"), strict=True))
            )
            told = Carriers(put, found, names, ("attention", "MLP"))
        elif request.through == "heads":
            found = tuple(
                Carrier(f"L{layer} h{head}", layer, head, (f"z.{layer}.{head}@*={OWN}",))
                for layer in layers
                for head in range(model.heads)
            )
            told = Carriers(put, found, names, heads)
        else:
            if column.position == -1:
                raise IvxError("at the last token no later token reads the vector, so it has no edge: choose another")
            found = tuple(
                Carrier(
                    f"L{layer} h{head}", layer, head, _edge(request.layer, layer, head, model.heads, column.position)
                )
                for layer in layers
                for head in range(model.heads)
            )
            told = Carriers(put, found, names, heads)
    longest = max(len(told.address([k])) for k in range(len(told.every)))
    if longest > LONGEST or (request.through == "positions" and len(told.address(range(len(told.every)))) > LONGEST):
        raise IvxError(
            f"the prompts and layers make an address of more than {LONGEST:,} characters: choose a later layer or "
            "position"
        )
    return told


def _edge(layer: int, reader: int, head: int, heads: int, position: int | str) -> tuple[str, ...]:
    """What leaves open the way from the vector to one head alone: every part between is as it is unpatched, the
    block's other heads are, and behind the block the patched token is, so that nobody else reads the vector."""
    between = [f"{site}.{block}@*={OWN}" for block in range(layer + 1, reader) for site in COMPONENTS]
    others = [f"z.{reader}.{other}@*={OWN}" for other in range(heads) if other != head]
    return (*between, *others, f"{STREAM}.{reader}@{position}={OWN}")


def _tokens(
    request: MediationRequest,
    rows: Sequence[Sample],
    labels: Sequence[str],
    positions: Sequence[int | str],
    put: int | str,
    later: range,
) -> tuple[Carrier, ...]:
    """The tokens between the patched one and the last, the query as one."""
    width = max(s.query_span[1] - s.query_span[0] for s in rows)
    if width > MOST_WORDS:
        raise IvxError(f"a query has {width} tokens, more than {MOST_WORDS}: ask through heads or components")
    at = len(positions) - 1 if put == -1 else positions.index(put)
    named: dict[str, list[str]] = {}
    for label, position in list(zip(labels, positions, strict=True))[at + 1 : -1]:
        if "query" in label and (label.startswith(QUERY) or label.endswith("query›")):
            # Of a query that holds the patched token, only what is behind it.
            named["‹query›"] = [f"word{k}" for k in range(int(labels[at].startswith(QUERY)), width)]
        else:
            name = label if label not in named else f"{label} {position}"
            named[name] = [str(position)]
    if not named:
        raise IvxError(f"no token stands between position {request.position} and the last: ask through heads")
    return tuple(
        Carrier(name, 0, k, tuple(f"{STREAM}.{layer}@{one}={OWN}" for layer in later for one in where))
        for k, (name, where) in enumerate(named.items())
    )
