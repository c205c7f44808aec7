"""Execute a plan: one pass over the layers for the whole sweep.

At each layer the distinct states go through the block's projections, attention joins them chain by chain, and every
token that something needs goes through the rest of the block; edited tokens follow, since they may read the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivx.engine.draws import drawn
from ivx.engine.forward.attention import KNOWN, attend, attend_together
from ivx.engine.forward.device import Way
from ivx.engine.forward.seams import NOTHING, Added, Projections, Seams
from ivx.engine.plan.chains import Chain, pack
from ivx.engine.plan.numbering import Ints
from ivx.engine.plan.plan import Largest, Made, Plan, Step
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
    states = _embeddings(plan, seams, prompts)
    with seams.shortened():
        for layer, step in enumerate(plan.steps):
            beat()
            states = _layer(seams, layer, step, states, plan, tables, beat)
    return states


def _tensor(numbers: Ints, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(device)


def _embeddings(plan: Plan, seams: Seams, prompts: Sequence[Sequence[int]]) -> Tensor:
    """The first table: one row for each needed (token, position), and the first layer's constants."""
    table = torch.empty(plan.steps[0].inputs, seams.model.width, dtype=seams.model.dtype, device=seams.model.device)
    by_length: dict[int, list[int]] = {}
    for i in dict.fromkeys(int(prompt) for prompt, _ in plan.embeddings):
        by_length.setdefault(len(prompts[i]), []).append(i)
    for members in by_length.values():
        found = seams.embeddings([prompts[i] for i in members])
        for k, i in enumerate(members):
            rows = np.flatnonzero(plan.embeddings[:, 0] == i)
            table[_tensor(rows, table.device)] = found[k, _tensor(plan.embeddings[rows, 1], table.device)]
    _fill(seams, table, plan.steps[0].constants)
    return table


def _rows(table: Tensor, numbers: Ints, index: Tensor, part: slice) -> Tensor:
    """Rows of a table; a view without a copy where their numbers are consecutive."""
    here = numbers[part]
    if here[-1] - here[0] == len(here) - 1 and (len(here) == 1 or bool((np.diff(here) == 1).all())):
        return table[int(here[0]) : int(here[-1]) + 1]
    return table[index[part]]


def _fill(seams: Seams, table: Tensor, constants: Sequence[tuple[int, Made]]) -> None:
    """Write constants into their rows of the table, which holds their members, too."""
    for row, made in constants:
        table[row] = _constant(seams, made, table[_tensor(made.rows, table.device)])


def _constant(seams: Seams, made: Made, members: Tensor) -> Tensor:
    """The mean of states `[members, width]`, 0 where there are none; with a draw, a random state of its norm."""
    mean = members.mean(dim=0) if len(members) else members.new_zeros(members.shape[1:])
    return mean if made.draw is None else drawn(mean, made.draw, heads=seams.model.heads)


def _layer(
    seams: Seams, layer: int, step: Step, states: Tensor, plan: Plan, tables: Tables, beat: Callable[[], None]
) -> Tensor:
    last = layer + 1 == len(plan.steps)
    constants = plan.constants if last else plan.steps[layer + 1].constants
    rows = plan.final if last else plan.steps[layer + 1].inputs
    out = tables.take(("even", "odd")[layer % 2], (rows, states.shape[1]), states, most=plan.largest.states)
    z = _attention(seams, layer, step, states, plan.largest, tables)
    attention, mlp = _plain(seams, layer, step, states, z, out, beat)
    if step.edited:
        _edited(seams, layer, step, states, z, out, attention, mlp)
    _fill(seams, out, constants)
    return out


def _attention(seams: Seams, layer: int, step: Step, states: Tensor, largest: Largest, tables: Tables) -> Tensor:
    """The heads' outputs `[attended, heads × width]`."""
    device, way = states.device, seams.way
    value, position = _tensor(step.projected_value, device), _tensor(step.projected_position, device)
    joined: list[Tensor] = []
    with seams.switched():
        for start in range(0, len(value), way.chunk):
            part = slice(start, min(start + way.chunk, len(value)))
            n = part.stop - start
            found = seams.project(
                layer, _padded(_rows(states, step.projected_value, value, part), way), _padded(position[part], way)
            )
            if not joined:
                _refuse_unknown(found)
                if part.stop == len(value):
                    joined = [x[:n] for x in found[:3]]
                    break
                joined = [
                    tables.take(name, (len(value), *x.shape[1:]), x, most=largest.projected)
                    for name, x in zip(("query", "key", "value"), found[:3], strict=True)
                ]
            for table, x in zip(joined, found[:3], strict=True):
                table[part] = x[:n]
    query, key, values = joined
    how: dict[str, Any] = {"module": seams.attention[layer], "options": found.options, "softmax": seams.softmax[layer]}
    z = tables.take("z", (step.attended, query.shape[1] * values.shape[2]), values, most=largest.attended)
    if way.together and step.chains:
        _together(step.chains, query, key, values, z, way, how)
        return z
    for chain in step.chains:
        most = max(
            1, way.scores // (query.shape[1] * chain.queries.shape[1] * (len(chain.prefix) + chain.own.shape[1]))
        )
        prefix = _tensor(chain.prefix, device)
        shared = key[prefix], values[prefix]
        for start in range(0, len(chain.own), most):
            here = Chain(chain.prefix, *(x[start : start + most] for x in chain[1:]))
            own, asked = _tensor(here.own, device), _tensor(here.queries, device)
            found_z = attend(query[asked], shared, (key[own], values[own]), **how)
            z.index_copy_(0, _tensor(here.out.reshape(-1), device), found_z.flatten(0, 1))
    return z


def _together(
    chains: Sequence[Chain], query: Tensor, key: Tensor, values: Tensor, z: Tensor, way: Way, how: dict[str, Any]
) -> None:
    """Attention of all chains, as many at once as `way.scores` allows, padded to the longest."""
    packed = pack(chains)
    most = max(1, way.scores // (query.shape[1] * packed.queries.shape[1] * packed.keys.shape[1]))
    for start in range(0, len(packed.keys), most):
        keys, asked, positions, out = (_tensor(x[start : start + most], z.device) for x in packed)
        found = attend_together(query[asked], key[keys], values[keys], positions, **how)
        there = out >= 0
        z[out[there]] = found[there]


def _padded(rows: Tensor, way: Way) -> Tensor:
    """Pad rows to a count that kernels are made for, by repeating the last one."""
    more = way.padded(len(rows)) - len(rows)
    return torch.cat([rows, rows[-1:].expand(more, *rows.shape[1:])]) if more else rows


def _refuse_unknown(found: Projections) -> None:
    unknown = {k for k, v in found.options.items() if v is not None and k not in KNOWN and not k.startswith("max_")}
    unknown -= {k for k in unknown if found.options[k] is False}
    if unknown:
        raise Unsupported(f"its attention is called with {', '.join(sorted(unknown))}, which ivx does not know")


Seen = dict[int, Tensor]
"""What was added to the stream, by the token's row."""


def _plain(
    seams: Seams, layer: int, step: Step, states: Tensor, z: Tensor, out: Tensor, beat: Callable[[], None]
) -> tuple[Seen, Seen]:
    """Run the unedited tokens; returns what attention and MLP added at those that edited tokens read."""
    device, way = states.device, seams.way
    value = _tensor(step.plain_value, device)
    in_constants = [*step.attention_constants, *(made for _, made in step.middles)]
    wanted = [
        {int(i) for made in in_constants for i in made.rows},
        {int(i) for made in step.mlp_constants for i in made.rows} | {t.mlp for t in step.edited if t.mlp >= 0},
    ]
    seen: tuple[Seen, Seen] = ({}, {})
    for start in range(0, len(value), way.chunk):
        beat()
        part = slice(start, min(start + way.chunk, len(value)))
        here = [sorted(i for i in rows if part.start <= i < part.stop) for rows in wanted]
        sees = [Added(see=torch.tensor([i - start for i in rows], device=device)) if rows else NOTHING for rows in here]
        into = _padded(_rows(states, step.plain_value, value, part), way)
        result = seams.block(layer, into, _padded(z[part], way), attention=sees[0], mlp=sees[1])
        out[part] = result[0][: part.stop - start]
        for kept, rows, added in zip(seen, here, result[1:], strict=True):
            if added is not None:
                kept.update(zip(rows, added, strict=True))
    # A constant of resid_mid: its members are the residual input plus what attention added.
    for row, made in step.middles:
        states[row] = _constant(
            seams, made, _stacked([states[value[i]] + seen[0][i] for i in made.rows.tolist()], states)
        )
    return seen


def _edited(
    seams: Seams, layer: int, step: Step, states: Tensor, z: Tensor, out: Tensor, attention: Seen, mlp: Seen
) -> None:
    device, way, plain = states.device, seams.way, len(step.plain_value)
    attended = len(z)
    if step.head_constants:
        z = torch.cat(
            [z, torch.stack([_constant(seams, made, z[_tensor(made.rows, device)]) for made in step.head_constants])]
        )
    fixed_attention, fixed_mlp = (
        [_constant(seams, made, _stacked([seen[i] for i in made.rows.tolist()], states)) for made in constants]
        for seen, constants in ((attention, step.attention_constants), (mlp, step.mlp_constants))
    )

    def row(node: int) -> int:
        return node if node >= 0 else attended - 1 - node

    for start in range(0, len(step.edited), way.chunk):
        tokens, specs = step.edited[start : start + way.chunk], step.heads[start : start + way.chunk]
        chunk_z = z[torch.tensor([row(spec.base) for spec in specs], device=device)]
        others = [(k, head, row(node)) for k, spec in enumerate(specs) for head, node in spec.others]
        if others:
            which, heads, nodes = torch.tensor(others, device=device).T
            by_head = chunk_z.view(len(specs), seams.model.heads, -1)
            by_head[which, heads] = z.view(len(z), seams.model.heads, -1)[nodes, heads]
        puts = [
            _put([(k, fixed_attention[t.attention]) for k, t in enumerate(tokens) if t.attention >= 0], device),
            _put(
                [(k, mlp[t.mlp] if t.mlp >= 0 else fixed_mlp[-2 - t.mlp]) for k, t in enumerate(tokens) if t.mlp != -1],
                device,
            ),
        ]
        value = torch.tensor([t.value for t in tokens], device=device)
        into = _padded(states[value], way)
        result = seams.block(layer, into, _padded(chunk_z, way), attention=puts[0], mlp=puts[1])
        out[plain + start : plain + start + len(tokens)] = result[0][: len(tokens)]


def _stacked(found: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(found) if found else like.new_zeros(0, like.shape[1])


def _put(values: list[tuple[int, Any]], device: torch.device) -> Added:
    if not values:
        return NOTHING
    return Added(put=(torch.tensor([k for k, _ in values], device=device), torch.stack([v for _, v in values])))
