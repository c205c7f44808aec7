"""The schedule of a plan: every table of indices that its pass needs, in one buffer that reaches the device at once.

Copying each small table by itself, and asking the device where a mask holds, would make it wait hundreds of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ivx.engine.draws import Draw
from ivx.engine.forward.device import Way
from ivx.engine.forward.ragged import Tiles, tiled
from ivx.engine.plan.chains import Chain, Packed, pack
from ivx.engine.plan.numbering import Ints
from ivx.engine.plan.plan import Made, Plan, Step


class Ref(NamedTuple):
    """A table of indices: where it begins in the buffer, and its shape."""

    start: int
    shape: tuple[int, ...]


Where = slice | Ref
"""Rows of a table; a slice, which needs no copy, where they are consecutive."""


class Pool:
    """The buffer in the making."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []
        self._size = 0

    def add(self, numbers: Ints | Sequence[int]) -> Ref:
        """Append a table."""
        found = np.ascontiguousarray(numbers, dtype=np.int64)
        self._parts.append(found.reshape(-1))
        self._size += found.size
        return Ref(self._size - found.size, found.shape)

    def rows(self, numbers: Ints) -> Where:
        """Append a list of rows, unless they are consecutive."""
        if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all():
            return slice(int(numbers[0]), int(numbers[-1]) + 1)
        return self.add(numbers)

    def on(self, device: torch.device) -> Indices:
        """The buffer on a device, by one copy that the device need not wait for."""
        found = torch.from_numpy(np.concatenate([*self._parts, np.zeros(0, np.int64)]))
        if device.type == "cuda":
            found = found.pin_memory()
        return Indices(found.to(device, non_blocking=True))


class Indices:
    """The tables of a pool, on the device."""

    def __init__(self, buffer: Tensor) -> None:
        self._buffer = buffer

    def __call__(self, table: Ref) -> Tensor:
        size = int(np.prod(table.shape))
        return self._buffer[table.start : table.start + size].view(table.shape)

    def of(self, states: Tensor, where: Where) -> Tensor:
        """Rows of a table of states."""
        return states[where] if isinstance(where, slice) else states.index_select(0, self(where))


class Fixed(NamedTuple):
    """Constants made of the rows of a table: `size` of them, zero but for means and random ones, by their number."""

    size: int
    means: list[tuple[int, Ref]]
    random: tuple[Ref, Ref, list[Draw]] | None


class Embedded(NamedTuple):
    """Prompts of one length `ids` `[prompts, tokens]`, and which of their tokens go to which rows of the table."""

    ids: Ref
    rows: Ref
    prompts: Ref
    positions: Ref


class Projected(NamedTuple):
    """A chunk of the projections: rows of the layer's inputs, and the tokens' positions."""

    part: slice
    value: Where
    position: Where


class Plain(NamedTuple):
    """A chunk of unedited tokens; of those in `attention` and `mlp`, what is added is kept, from that row on."""

    part: slice
    value: Where
    attention: tuple[Ref, int] | None
    mlp: tuple[Ref, int] | None


class Edited(NamedTuple):
    """A chunk of edited tokens.

    `base` and `others` (token, head, row) are rows of `z` and of the constants behind it; `attention` and `mlp`, tokens
    and the rows of what is put there.
    """

    part: slice
    value: Where
    base: Where
    others: tuple[Ref, Ref, Ref] | None
    attention: tuple[Ref, Ref] | None
    mlp: tuple[Ref, Ref] | None


class Middles(NamedTuple):
    """Constants of `resid_mid`: their rows, and the inputs and kept attention that their members are the sum of."""

    rows: Ref
    inputs: Ref
    attention: Ref
    fixed: Fixed


@dataclass(frozen=True)
class Work:
    """One layer: what `execute` does, in this order. Attention is in one of `chains`, `packed` and `ragged`."""

    projected: list[Projected]
    chains: list[tuple[Ref, Ref, Ref, Ref]]
    packed: tuple[Ref, Ref, Ref, Ref] | None
    ragged: tuple[Ref, Ref, Ref, Ref] | None
    plain: list[Plain]
    kept: tuple[int, int]
    middles: Middles | None
    heads: Fixed
    attention: Fixed
    mlp: Fixed
    edited: list[Edited]
    constants: tuple[Ref, Fixed] | None


@dataclass(frozen=True)
class Schedule:
    """The whole pass."""

    embedded: list[Embedded]
    constants: tuple[Ref, Fixed] | None
    layers: list[Work]


def schedule(
    plan: Plan, prompts: Sequence[Sequence[int]], way: Way, *, tile: int | None = None
) -> tuple[Schedule, Pool]:
    """Write out a plan for a device; `tile` is the most queries of a tile where attention has a kernel of its own."""
    pool = Pool()
    after = [step.constants for step in plan.steps[1:]] + [plan.constants]
    found = Schedule(
        embedded=_embedded(pool, plan, prompts),
        constants=_filled(pool, plan.steps[0].constants),
        layers=[_work(pool, step, constants, way, tile) for step, constants in zip(plan.steps, after, strict=True)],
    )
    return found, pool


def _embedded(pool: Pool, plan: Plan, prompts: Sequence[Sequence[int]]) -> list[Embedded]:
    which, at = plan.embeddings[:, 0], plan.embeddings[:, 1]
    lengths = np.array([len(ids) for ids in prompts])[which]
    found = []
    for length in dict.fromkeys(lengths.tolist()):
        rows = np.flatnonzero(lengths == length)
        members, prompt = np.unique(which[rows], return_inverse=True)
        ids = np.array([prompts[i] for i in members])
        found.append(Embedded(pool.add(ids), pool.add(rows), pool.add(prompt), pool.add(at[rows])))
    return found


def _fixed(pool: Pool, constants: Sequence[Made]) -> Fixed:
    means = [(k, pool.add(made.rows)) for k, made in enumerate(constants) if made.draw is None and len(made.rows)]
    drawn = [(k, int(made.rows[0]), made.draw) for k, made in enumerate(constants) if made.draw and len(made.rows)]
    if not drawn:
        return Fixed(len(constants), means, None)
    numbers, members, draws = zip(*drawn, strict=True)
    return Fixed(len(constants), means, (pool.add(numbers), pool.add(members), list(draws)))


def _filled(pool: Pool, constants: Sequence[tuple[int, Made]]) -> tuple[Ref, Fixed] | None:
    """Constants and the rows that they fill, of the table that holds their members, too."""
    if not constants:
        return None
    return pool.add([row for row, _ in constants]), _fixed(pool, [made for _, made in constants])


def _work(pool: Pool, step: Step, after: Sequence[tuple[int, Made]], way: Way, tile: int | None) -> Work:
    middles = [made for _, made in step.middles]
    # What attention and MLP add is kept for the tokens that constants are made of, or edited tokens take it from.
    kept = (
        _members([*step.attention_constants, *middles]),
        np.union1d(_members(step.mlp_constants), [t.mlp for t in step.edited if t.mlp >= 0]).astype(np.int64),
    )

    def again(made: Made, rows: Ints) -> Made:
        return Made(np.searchsorted(rows, made.rows), made.draw)

    inputs, together = _members(middles), way.together and bool(step.chains)
    return Work(
        projected=[
            Projected(part, pool.rows(step.projected_value[part]), pool.rows(step.projected_position[part]))
            for part in _parts(len(step.projected_value), way)
        ],
        chains=[] if way.together else [_added(pool, chain) for chain in step.chains],
        packed=_added(pool, pack(step.chains, beyond=step.attended)) if together and tile is None else None,
        ragged=_added(pool, tiled(step.chains, tile)) if together and tile is not None else None,
        plain=[
            Plain(part, pool.rows(step.plain_value[part]), *(_seen(pool, rows, part) for rows in kept))
            for part in _parts(len(step.plain_value), way)
        ],
        kept=(len(kept[0]), len(kept[1])),
        middles=Middles(
            pool.add([row for row, _ in step.middles]),
            pool.add(step.plain_value[inputs]),
            pool.add(np.searchsorted(kept[0], inputs)),
            _fixed(pool, [again(made, inputs) for made in middles]),
        )
        if middles
        else None,
        heads=_fixed(pool, step.head_constants),
        attention=_fixed(pool, [again(made, kept[0]) for made in step.attention_constants]),
        mlp=_fixed(pool, [again(made, kept[1]) for made in step.mlp_constants]),
        edited=[_edited(pool, step, part, kept[1]) for part in _parts(len(step.edited), way)],
        constants=_filled(pool, after),
    )


def _parts(count: int, way: Way) -> list[slice]:
    return [slice(start, min(start + way.chunk, count)) for start in range(0, count, way.chunk)]


def _members(constants: Iterable[Made]) -> Ints:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(made.rows for made in constants)]))


def _added(pool: Pool, chain: Chain | Packed | Tiles) -> tuple[Ref, Ref, Ref, Ref]:
    first, second, third, fourth = (pool.add(table) for table in chain)
    return first, second, third, fourth


def _seen(pool: Pool, rows: Ints, part: slice) -> tuple[Ref, int] | None:
    """Which tokens of a chunk are kept, and the row of the first of them among all that are."""
    low, high = np.searchsorted(rows, [part.start, part.stop])
    return (pool.add(rows[low:high] - part.start), int(low)) if high > low else None


def _edited(pool: Pool, step: Step, part: slice, kept: Ints) -> Edited:
    tokens, specs, plain = step.edited[part], step.heads[part], len(step.plain_value)

    def row(node: int) -> int:
        return node if node >= 0 else step.attended - 1 - node

    others = np.array([(k, head, row(node)) for k, spec in enumerate(specs) for head, node in spec.others])
    attention = np.array([(k, t.attention) for k, t in enumerate(tokens) if t.attention >= 0])
    # Constants stand behind what is kept of MLPs.
    mlp = np.array(
        [
            (k, np.searchsorted(kept, t.mlp) if t.mlp >= 0 else len(kept) - 2 - t.mlp)
            for k, t in enumerate(tokens)
            if t.mlp != -1
        ]
    )

    def columns(table: Ints) -> tuple[Ref, ...] | None:
        return tuple(pool.add(column) for column in table.T) if len(table) else None

    return Edited(
        slice(plain + part.start, plain + part.stop),
        pool.rows(np.array([t.value for t in tokens])),
        pool.rows(np.array([row(spec.base) for spec in specs])),
        columns(others),  # type: ignore[arg-type]
        columns(attention),  # type: ignore[arg-type]
        columns(mlp),  # type: ignore[arg-type]
    )
