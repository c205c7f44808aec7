"""Ends: which states of a pass are read, and what each is read against, in blocks of rows of whole samples.

Rows that end in one state (a later patch erased the earlier) are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ivx.engine.plan.numbering import Ints
from ivx.engine.plan.plan import Plan
from ivx.engine.readout import Group
from ivx.engine.workload import Workload

Ids = tuple[int, ...]


class Item(NamedTuple):
    """One row of the table to come."""

    sample: int
    patch: str


class Block(NamedTuple):
    """What is read at once: states by their row, the groups that they form, and the place among them of each item."""

    states: Ints
    groups: list[Group]
    items: list[Item]
    places: Ints


def ends_of(asked: Workload, part: Sequence[Item], made: Plan, prompts: Sequence[Ids], *, rows: int) -> Iterator[Block]:
    """The blocks of a pass, of about `rows` states; a sample's rows may lie in several, each with its unpatched run."""
    index = {ids: i for i, ids in enumerate(prompts)}
    by_sample: dict[int, list[int]] = {}
    for k, item in enumerate(part):
        by_sample.setdefault(item.sample, []).append(k)
    states: list[int] = []
    groups: list[Group] = []
    items: list[Item] = []
    places: list[int] = []
    for sample, members in by_sample.items():
        beside = [int(made.prompts[index[tuple(asked.target[sample])]])]
        if asked.reference is not None:
            beside.append(int(made.prompts[index[tuple(asked.reference[sample])]]))
        for first in range(0, len(members), rows):
            if len(states) + len(members[first : first + rows]) > rows and states:
                yield Block(np.array(states), groups, items, np.array(places))
                states, groups, items, places = [], [], [], []
            start = len(states)
            states += beside
            known = {beside[0]: start}
            for k in members[first : first + rows]:
                end = int(made.rows[k])
                if end not in known:
                    known[end] = len(states)
                    states.append(end)
                items.append(part[k])
                places.append(known[end])
            contrast = None if asked.contrast is None else asked.contrast[sample]
            groups.append(Group(start, len(states), asked.answer[sample], contrast, asked.reference is not None))
    if states:
        yield Block(np.array(states), groups, items, np.array(places))
