"""Execute a plan: one pass over the layers for the whole sweep.

At each layer the distinct states go through the block's projections, attention joins them chain by chain, and every
token that something needs goes through the rest of the block; edited tokens follow, since they may read the others.
Nothing here asks the device for a value: what to do is known from the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ivx.engine.draws import drawn_rows
from ivx.engine.forward.attention import KNOWN, attend, attend_together
from ivx.engine.forward.device import Way
from ivx.engine.forward.ragged import attend_ragged, unfit
from ivx.engine.forward.seams import NOTHING, Added, Projections, Seams
from ivx.engine.plan.chains import pack
from ivx.engine.plan.plan import Plan, Step
from ivx.engine.plan.schedule import Fixed, Indices, Ref, Schedule, Work, schedule
from ivx.engine.plan.tables import Tables


class Unsupported(Exception):
    """The architecture does something at a seam that this engine does not know; its message says why hooks run."""


def execute(
    plan: Plan, seams: Seams, prompts: Sequence[Sequence[int]], *, tables: Tables, beat: Callable[[], None]
) -> Tensor:
    """The plan's last table of residual states `[plan.final, width]`; the next pass overwrites it in `tables`.

    Args:
        beat: called at every layer and chunk; what it raises ends the pass.
    """
    found, pool = schedule(plan, prompts, seams.way, tile=seams.tile if seams.padded is None else None)
    return _Pass(plan, seams, pool.on(seams.model.device), tables, beat).run(found)


class _Pass:
    def __init__(self, plan: Plan, seams: Seams, indices: Indices, tables: Tables, beat: Callable[[], None]) -> None:
        self.plan, self.seams, self.way, self.tables, self.beat = plan, seams, seams.way, tables, beat
        self.at = indices

    def run(self, found: Schedule) -> Tensor:
        """The last table."""
        states = self._embeddings(found)
        with self.seams.shortened():
            for layer, work in enumerate(found.layers):
                self.beat()
                states = self._layer(layer, work, states)
        return states

    def _embeddings(self, found: Schedule) -> Tensor:
        """The first table: one row for each needed (token, position), and the first layer's constants."""
        model = self.seams.model
        table = torch.empty(self.plan.steps[0].inputs, model.width, dtype=model.dtype, device=model.device)
        for group in found.embedded:
            embedded = self.seams.embeddings(self.at(group.ids))
            table.index_copy_(0, self.at(group.rows), embedded[self.at(group.prompts), self.at(group.positions)])
        self._fill(table, found.constants)
        return table

    def _fill(self, table: Tensor, constants: tuple[Ref, Fixed] | None) -> None:
        """Write constants into their rows of the table, which holds their members, too."""
        if constants is not None:
            rows, fixed = constants
            table.index_copy_(0, self.at(rows), self._made(fixed, table))

    def _made(self, fixed: Fixed, members: Tensor) -> Tensor:
        """Constants `[size, width]` of rows of a table: means, zeros, and random states of a row's norm."""
        found = members.new_zeros(fixed.size, members.shape[1])
        for number, rows in fixed.means:
            found[number] = members.index_select(0, self.at(rows)).mean(dim=0)
        if fixed.random is not None:
            numbers, rows, draws = fixed.random
            states = members.index_select(0, self.at(rows))
            found.index_copy_(0, self.at(numbers), drawn_rows(states, draws, heads=self.seams.model.heads))
        return found

    def _layer(self, layer: int, work: Work, states: Tensor) -> Tensor:
        step, last = self.plan.steps[layer], layer + 1 == len(self.plan.steps)
        rows = self.plan.final if last else self.plan.steps[layer + 1].inputs
        shape = (rows, states.shape[1])
        out = self.tables.take(("even", "odd")[layer % 2], shape, states, most=self.plan.largest.states)
        z = self._attention(layer, step, work, states)
        attention, mlp = self._plain(layer, work, states, z, out)
        if work.edited:
            self._edited(layer, work, states, z, out, attention, mlp)
        self._fill(out, work.constants)
        return out

    def _attention(self, layer: int, step: Step, work: Work, states: Tensor) -> Tensor:
        """The heads' outputs `[attended, heads × width]`."""
        way, most = self.way, self.plan.largest
        joined: list[Tensor] = []
        with self.seams.switched():
            for part, value, position in work.projected:
                n = part.stop - part.start
                positions = self.at(position) if isinstance(position, Ref) else self._counting(position, states)
                found = self.seams.project(layer, _padded(self.at.of(states, value), way), _padded(positions, way))
                if not joined:
                    _refuse_unknown(found)
                    if len(work.projected) == 1:
                        joined = [x[:n] for x in found[:3]]
                        break
                    joined = [
                        self.tables.take(name, (len(step.projected_value), *x.shape[1:]), x, most=most.projected)
                        for name, x in zip(("query", "key", "value"), found[:3], strict=True)
                    ]
                for table, x in zip(joined, found[:3], strict=True):
                    table[part] = x[:n]
        query, key, values = joined
        how: dict[str, Any] = {
            "module": self.seams.attention[layer],
            "options": found.options,
            "softmax": self.seams.softmax[layer],
        }
        # One row more, for the padding of chains that are computed together.
        shape = (step.attended + 1, query.shape[1] * values.shape[2])
        z = self.tables.take("z", shape, values, most=most.attended + 1)
        if work.ragged is not None:
            self._ragged(step, [self.at(table) for table in work.ragged], query, key, values, z, how)
        if work.packed is not None:
            self._together([self.at(table) for table in work.packed], query, key, values, z, how)
        for chain in work.chains:
            self._chain(chain, query, key, values, z, how)
        return z[: step.attended]

    def _counting(self, positions: slice, states: Tensor) -> Tensor:
        return torch.arange(positions.start, positions.stop, device=states.device)

    def _chain(
        self, chain: tuple[Ref, Ref, Ref, Ref], query: Tensor, key: Tensor, values: Tensor, z: Tensor, how: dict
    ) -> None:
        prefix, own, asked, out = (self.at(table) for table in chain)
        most = max(1, self.way.scores // (query.shape[1] * asked.shape[1] * (len(prefix) + own.shape[1])))
        shared = key[prefix], values[prefix]
        for start in range(0, len(own), most):
            here = slice(start, start + most)
            found = attend(query[asked[here]], shared, (key[own[here]], values[own[here]]), **how)
            z.index_copy_(0, out[here].reshape(-1), found.flatten(0, 1))

    def _ragged(
        self, step: Step, tables: list[Tensor], query: Tensor, key: Tensor, values: Tensor, z: Tensor, how: dict
    ) -> None:
        """Attention of all chains in one kernel; padded where it does not run."""
        kind = {"tile": self.seams.tile, "module": how["module"], "options": how["options"]}
        failure = unfit(query, key, values, **kind)
        if failure is None:
            attend_ragged(query, key, values, z, tables, **kind)
            return
        self.seams.padded = failure
        packed = pack(step.chains, beyond=step.attended)
        self._together([torch.from_numpy(x).to(z.device) for x in packed], query, key, values, z, how)

    def _together(self, tables: list[Tensor], query: Tensor, key: Tensor, values: Tensor, z: Tensor, how: dict) -> None:
        """Attention of all chains, as many at once as `way.scores` allows, padded to the longest."""
        (chains, m), n = tables[0].shape, tables[1].shape[1]
        most = max(1, self.way.scores // (query.shape[1] * n * m))
        for start in range(0, chains, most):
            keys, asked, positions, out = (table[start : start + most] for table in tables)
            found = attend_together(query[asked], key[keys], values[keys], positions, **how)
            z.index_copy_(0, out.reshape(-1), found.flatten(0, 1))

    def _plain(self, layer: int, work: Work, states: Tensor, z: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Run the unedited tokens; returns what attention and MLP added at those that others take it from."""
        kept = tuple(states.new_empty(count, states.shape[1]) for count in work.kept)
        for part, value, *wanted in work.plain:
            self.beat()
            sees = [NOTHING if one is None else Added(see=self.at(one[0])) for one in wanted]
            into = _padded(self.at.of(states, value), self.way)
            result = self.seams.block(layer, into, _padded(z[part], self.way), attention=sees[0], mlp=sees[1])
            out[part] = result[0][: part.stop - part.start]
            for table, one, added in zip(kept, wanted, result[1:], strict=True):
                if one is not None and added is not None:
                    table[one[1] : one[1] + len(added)] = added
        if work.middles is not None:
            rows, inputs, attention, fixed = work.middles
            # A constant of resid_mid: its members are the residual input plus what attention added.
            members = states.index_select(0, self.at(inputs)) + kept[0].index_select(0, self.at(attention))
            states.index_copy_(0, self.at(rows), self._made(fixed, members))
        return kept[0], kept[1]

    def _edited(
        self, layer: int, work: Work, states: Tensor, z: Tensor, out: Tensor, attention: Tensor, mlp: Tensor
    ) -> None:
        heads = self.seams.model.heads
        if work.heads.size:
            z = torch.cat([z, self._made(work.heads, z)])
        fixed = self._made(work.attention, attention)
        theirs = torch.cat([mlp, self._made(work.mlp, mlp)])
        for chunk in work.edited:
            self.beat()
            into, chunk_z = self.at.of(states, chunk.value), self.at.of(z, chunk.base)
            if chunk.others is not None:
                which, head, nodes = (self.at(table) for table in chunk.others)
                chunk_z = chunk_z.clone()
                chunk_z.view(len(chunk_z), heads, -1)[which, head] = z.view(len(z), heads, -1)[nodes, head]
            puts = [
                NOTHING if put is None else Added(put=(self.at(put[0]), table.index_select(0, self.at(put[1]))))
                for put, table in ((chunk.attention, fixed), (chunk.mlp, theirs))
            ]
            result = self.seams.block(
                layer, _padded(into, self.way), _padded(chunk_z, self.way), attention=puts[0], mlp=puts[1]
            )
            out[chunk.part] = result[0][: len(into)]


def _padded(rows: Tensor, way: Way) -> Tensor:
    """Pad rows to a count that kernels are made for, by repeating the last one."""
    more = way.padded(len(rows)) - len(rows)
    return torch.cat([rows, rows[-1:].expand(more, *rows.shape[1:])]) if more else rows


def _refuse_unknown(found: Projections) -> None:
    unknown = {k for k, v in found.options.items() if v is not None and k not in KNOWN and not k.startswith("max_")}
    unknown -= {k for k in unknown if found.options[k] is False}
    if unknown:
        raise Unsupported(f"its attention is called with {', '.join(sorted(unknown))}, which ivx does not know")
