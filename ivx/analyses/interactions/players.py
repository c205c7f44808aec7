"""Players: what is patched alone and together in a game of interactions, and the sets that are played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ivx.analyses.interactions.identities import reduced
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.restoration import given_back
from ivx.engine.address import OWN, parse
from ivx.errors import IvxError
from ivx.patching.part import within
from ivx.patching.positions import Column, column_at, columns_of
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

if TYPE_CHECKING:
    from ivx.models.model import Model

MOST_SETS = 10_000
"""Most sets of one size that a request may ask for."""


@dataclass(frozen=True)
class Player:
    """One patch. `label` names it among the others; `head` and `column` are set where the players differ by them."""

    address: str
    label: str
    site: str
    layer: int
    head: int | None = None
    column: Column | None = None


Sets = dict[str, tuple[int, ...]]
"""Patch sets by address, as indices of their players in order."""


def players_of(model: Model, request: InteractionsRequest, rows: Sequence[Sample]) -> tuple[Player, ...]:
    """All players of a request, lowest layer first; raises `IvxError` where a layer or head is none of the model's."""
    layers, heads = within("layers", request.layers, model.layers), within("heads", request.heads, model.heads)
    every = columns_of(model, rows)
    columns = every if request.over == "positions" else (column_at(every, request.position, rows),)
    sites = tuple(dict.fromkeys(request.sites))
    if "z" in sites and len(sites) > 1 and request.position == "last":
        raise IvxError("at the last position z is taken from the instructed prompt and other sites from the source "
                       "token, so they are no players of one game: leave out z, or choose position first")  # fmt: skip
    found = []
    for layer in layers:
        for site in sites:
            for column in columns:
                named = f"L{layer}" if len(sites) == 1 else f"L{layer} {site}"
                if request.over == "positions":
                    named += f" {column.label}"
                for head in heads if request.over == "heads" else (None,):
                    at = "" if head is None else f".{head}"
                    address = f"{site}.{layer}{at}@{column.position}~-1"
                    shown = named if head is None else f"{named} h{head}"
                    place = column if request.over == "positions" else None
                    found.append(Player(address, shown, site, layer, head, place))
    return tuple(found)


def sets_with_equals(
    request: InteractionsRequest, players: Sequence[Player], samples: Samples, *, layers: int
) -> tuple[dict[int, Sets], dict[str, tuple[str, str]]]:
    """The patch sets by size; and, for those that equal a smaller set by an identity, its address and why."""
    lengths = {len(s.target) for s in samples.rows}
    sets = {size: sets_of(players, request, size=size) for size in range(1, request.order + 1)}
    equals: dict[str, tuple[str, str]] = {}
    if request.patch == "delta":
        return sets, equals  # what is added erases nothing
    more = given_back(sets[2]).values() if request.restored else ()
    for text in (*(text for found in sets.values() for text in found), *more):
        left, reason = reduced(parse(text), layers=layers, lengths=lengths)
        if reason:
            # Own values behind no patch are the unpatched run.
            rest = () if all(patch.value == OWN for patch in left) else left
            equals[text] = (",".join(map(str, rest)), reason)
    return sets, equals


def played(request: InteractionsRequest, sets: dict[int, Sets], equals: dict[str, tuple[str, str]]) -> list[str]:
    """The sets that are run, restored ones behind the others."""
    found = [text for some in sets.values() for text in some]
    found += given_back(sets[2]).values() if request.restored else ()
    return [text for text in found if text not in equals]


def sets_of(players: Sequence[Player], request: InteractionsRequest, *, size: int) -> Sets:
    """All sets of `size` players; over positions, only sets within one layer."""
    groups: list[list[int]] = [list(range(len(players)))]
    if request.over == "positions":
        layers = sorted({player.layer for player in players})
        groups = [[i for i, player in enumerate(players) if player.layer == layer] for layer in layers]
    found = {",".join(players[i].address for i in chosen): chosen for g in groups for chosen in combinations(g, size)}
    if len(found) > MOST_SETS:
        raise IvxError(
            f"{len(players)} players make {len(found):,} sets of {size}, more than {MOST_SETS:,}: ask for fewer "
            "layers, fewer sites or a lower order"
        )
    return found
