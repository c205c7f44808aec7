"""The catalogue: tasks by name, and the pair each belongs to."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from ivx.errors import TaskError
from ivx.tasks import english, planted, tiny
from ivx.tasks.place import place_of
from ivx.tasks.reader import read_pair
from ivx.tasks.task import Pair, Task

COLLECTIONS = ("tiny", "tiny-period", "english", "planted")


def tasks(collection: str) -> dict[str, Task]:
    """All tasks of a collection by name."""
    if collection == "tiny":
        return tiny.tasks("")
    if collection == "tiny-period":
        return tiny.tasks(" .")
    if collection == "english":
        return english.tasks()
    if collection == "planted":
        return planted.tasks()
    raise TaskError(f"there is no collection {collection!r}: use one of {', '.join(COLLECTIONS)}")


def find(name: str, *, collection: str = "english", against: str | None = None) -> Pair:
    """The pair of a task and its contrast, by name or from a user's file.

    Args:
        name: `animal/colour`, `collection:animal/colour`, or a user's file, with what `ivx.tasks.place` tells of it.
        against: the contrast task; by default the one that the task names. For a file of one task's answers another
            file, of the same queries.
    """
    if place := place_of(name):
        other = place_of(against) if against else None
        if other and place.against:
            raise TaskError(f"{name} names its contrast: leave out against={against!r}")
        pair = read_pair(replace(place, against=other) if other else place)
        if other is None and against not in (None, pair.contrast.name):
            raise TaskError(f"{name} has the contrast task {pair.contrast.name}: leave out against={against!r}")
        known = tasks("english")
        return replace(pair, control=_control(pair.task, known), others=_others(pair.task, known))
    prefix, colon, rest = name.rpartition(":")
    known = tasks(prefix) if colon else tasks(collection)
    task = _named(rest, known)
    contrast = _named(against or task.contrast, known)
    if contrast.field != task.field or contrast.name == task.name:
        raise TaskError(f"{contrast.name} cannot be the contrast of {task.name}: it must answer the same queries")
    return Pair(task, contrast, _control(task, known), _others(task, known))


def several(names: Sequence[str], *, collection: str = "english") -> tuple[Task, ...]:
    """Tasks by name, each once; `all` is a whole collection, and a user's file both tasks of its pair."""
    found: list[Task] = []
    for name in names:
        prefix, _, rest = name.rpartition(":")
        if place := place_of(name):
            pair = read_pair(place)
            found += [pair.task, pair.contrast]
        elif rest == "all":
            found += tasks(prefix or collection).values()
        else:
            found.append(_named(rest, tasks(prefix or collection)))
    return tuple({(task.collection, task.name): task for task in found}.values())


def pairs(names: Sequence[str], *, collection: str = "english") -> tuple[Pair, ...]:
    """The pair of each of several tasks, as `several` takes them; a user's file holds two, one each way round.

    Raises:
        TaskError: there is no such task, or two different ones have the same name.
    """
    found: list[Pair] = []
    for name in names:
        if is_file(name):
            pair = find(name)
            found += [pair, replace(pair, task=pair.contrast, contrast=pair.task)]
        else:
            known = several([name], collection=collection)
            found += [find(f"{task.collection}:{task.name}") for task in known]
    once = tuple({pair.fingerprint: pair for pair in found}.values())
    called = [pair.task.name for pair in once]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise TaskError(f"two tasks are called {twice}: ask for one of them at a time, or rename its file")
    return once


def is_file(name: str) -> bool:
    """Whether a name means a user's file."""
    return place_of(name) is not None


def _named(name: str, known: dict[str, Task]) -> Task:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "the tasks are " + ", ".join(known)
    raise TaskError(f"there is no task {name!r}: {hint}")


def _control(task: Task, known: dict[str, Task]) -> Task | None:
    """A task of other queries, whose vector should do nothing for this one."""
    return next((other for other in known.values() if other.field.lower() != task.field.lower()), None)


def _others(task: Task, known: dict[str, Task]) -> tuple[Task, ...]:
    """Two more tasks of other queries, of other queries than the first where there are such."""
    first = _control(task, known)
    free = [one for one in known.values() if one is not first and one.field.lower() != task.field.lower()]
    fields: dict[str, Task] = {}
    for one in free:
        if first is None or one.field != first.field:
            fields.setdefault(one.field, one)
    chosen = [*fields.values(), *(one for one in free if one not in fields.values())]
    return tuple(chosen[:2])
