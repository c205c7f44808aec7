"""Compute the runs of the real family that come with ivx, and write them beside its adapters.

Each is kept in the store as every run is, so that one that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ivx.analyses.family import Family
from ivx.analyses.place.result import At, Place
from ivx.errors import IvxError
from ivx.jobs import identity
from ivx.jobs.compute import answered
from ivx.jobs.identity import Identity
from ivx.jobs.shipped import cut, ship, tokens_in
from ivx.models.load import load
from ivx.models.model import Model
from ivx.request import BaseRequest
from ivx.store.store import Store
from ivx.tasks.turn import turn_of

TOP = {"place": 1, "interactions": 1, "effects": 1}
"""How many of the likeliest tokens a shipped row keeps, where that is not `KEPT`."""
KEPT = 3


@dataclass
class Maker:
    """Answers requests from a store, with one checkpoint loaded at a time."""

    store: Store
    said: Callable[[str], None] = print
    _model: Model | None = field(default=None, init=False)

    def model(self, name: str) -> Model:
        """A checkpoint, loaded; the one before it is let go."""
        if self._model is None or self._model.name != name:
            self._model = None
            self._model = load(name)
        return self._model

    def answer(self, request: BaseRequest) -> Any:
        """The result of a request."""
        self.said(f"{request.kind}, {request.checkpoint}, {getattr(request, 'task', 'tasks')}")
        return answered(self.store, request, load=lambda: self.model(request.checkpoint))


def place_of(maker: Maker, family: Family) -> At:
    """Where vectors are put; raises `IvxError` where the search finds no place."""
    found: Place = maker.answer(family.anchor)
    if found.at is None:
        raise IvxError(
            f"{family.subject} has no place on {family.tasks[0]}: teach it anew, then compute its runs again"
        )
    return found.at


def results(maker: Maker, family: Family) -> Iterator[Any]:
    """Every result that ships; each checkpoint's one after another, those that another's need first."""
    at = place_of(maker, family)
    by_name = sorted([*family.before(), *family.there(at)], key=lambda one: family.names.index(one.checkpoint))
    vectors: dict[tuple[str, str], str] = {}
    for name in family.names:
        yield from (maker.answer(request) for request in by_name if request.checkpoint == name)
        vectors |= {(task, name): maker.answer(family.vectors(name, task, at)).run_id for task in family.tasks}
    for receiver in family.names:
        for task in family.tasks:
            for donor in family.names:
                yield maker.answer(family.transplant(receiver, task, at, vectors=vectors[task, donor]))


def write(family: Family, folder: Path, *, store: Store, said: Callable[[str], None] = print) -> list[Path]:
    """Compute what is missing of the runs that ship, write it into a folder, and delete there what is not wanted."""
    maker, found = Maker(store, said), []
    for result in results(maker, family):
        run = store.find(result.run_id)
        assert run is not None
        model = maker.model(result.request.checkpoint)
        table = cut(result.table, TOP.get(result.request.kind, KEPT))
        numbers = tokens_in(table)
        tokens = dict(zip(numbers, model.tokenizer.convert_ids_to_tokens(numbers), strict=True))
        found.append(ship(run, folder, table=table, tokens=tokens))
    for old in set(folder.glob("*.parquet")) - set(found):
        old.unlink()
    return found


def identities(names: Sequence[str]) -> dict[str, Identity]:
    """What is known of checkpoints without their weights, from their weights."""
    found = {}
    for name in names:
        model = load(name)
        found[name] = Identity(model.fingerprint, *turn_of(model.tokenizer), model.layers)
    return found


def main(family: Family, folder: Path) -> int:
    """Write the runs, and the identities of their checkpoints; returns the exit status."""
    written = write(family, folder, store=Store())
    identity.write(identities(family.names))
    size = sum(path.stat().st_size for path in written)
    print(f"{len(written)} runs, {size / 1e6:.1f} MB in {folder}")
    return 0
