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

from ivx.engine.attention import KNOWN, attend
from ivx.engine.numbering import Ints
from ivx.engine.plan import Chain, Plan, Step
from ivx.engine.seams import NOTHING, Added, Projections, Seams

CHUNK = 1024
"""Tokens that go through a block at once: the block's inner states stay in a processor's cache."""
SCORES = 8_000_000
"""Attention scores alive at once."""


class Unsupported(Exception):
    """The architecture does something at a seam that this engine does not know; the reason, for the fallback."""


def execute(plan: Plan, seams: Seams, prompts: Sequence[Sequence[int]], *, beat: Callable[[], None]) -> Tensor:
    """The plan's last table of residual states `[plan.final, width]`.

    Args:
        beat: called at every layer and chunk; what it raises ends the pass.
    """
    states = _embeddings(plan, seams, prompts)
    with seams.shortened():
        for layer, step in enumerate(plan.steps):
            beat()
            states = _layer(seams, layer, step, states, plan, beat)
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
    _fill(table, plan.steps[0].constants, table)
    return table


def _rows(table: Tensor, numbers: Ints, index: Tensor, part: slice) -> Tensor:
    """Rows of a table; without a copy where their numbers follow one another."""
    here = numbers[part]
    if here[-1] - here[0] == len(here) - 1 and (len(here) == 1 or bool((np.diff(here) == 1).all())):
        return table[int(here[0]) : int(here[-1]) + 1]
    return table[index[part]]


def _fill(table: Tensor, constants: Sequence[tuple[int, Ints]], members: Tensor) -> None:
    """Write constants: the mean of their members' rows, or zero."""
    for row, numbers in constants:
        table[row] = _mean(members, numbers)


def _mean(table: Tensor, numbers: Ints) -> Tensor:
    return table[_tensor(numbers, table.device)].mean(dim=0) if len(numbers) else table.new_zeros(table.shape[1:])


def _layer(seams: Seams, layer: int, step: Step, states: Tensor, plan: Plan, beat: Callable[[], None]) -> Tensor:
    last = layer + 1 == len(plan.steps)
    constants = plan.constants if last else plan.steps[layer + 1].constants
    out = states.new_empty(plan.final if last else plan.steps[layer + 1].inputs, states.shape[1])
    z = _attention(seams, layer, step, states)
    attention, mlp = _plain(seams, layer, step, states, z, out, beat)
    if step.edited:
        _edited(seams, layer, step, states, z, out, attention, mlp)
    _fill(out, constants, out)
    return out


def _attention(seams: Seams, layer: int, step: Step, states: Tensor) -> Tensor:
    """The heads' outputs `[attended, heads × width]`."""
    device = states.device
    value, position = _tensor(step.projected_value, device), _tensor(step.projected_position, device)
    tables: list[Tensor] = []
    with seams.switched():
        for start in range(0, len(value), CHUNK):
            part = slice(start, start + CHUNK)
            found = seams.project(layer, _rows(states, step.projected_value, value, part), position[part])
            if not tables:
                _refuse_unknown(found)
                if part.stop >= len(value):
                    tables = list(found[:3])
                    break
                tables = [x.new_empty(len(value), *x.shape[1:]) for x in found[:3]]
            for table, x in zip(tables, found[:3], strict=True):
                table[part] = x
    query, key, values = tables
    z = values.new_empty(step.attended, query.shape[1] * values.shape[2])
    for chain in step.chains:
        most = max(1, SCORES // (query.shape[1] * chain.queries.shape[1] * (len(chain.prefix) + chain.own.shape[1])))
        prefix = _tensor(chain.prefix, device)
        shared = key[prefix], values[prefix]
        for start in range(0, len(chain.own), most):
            here = Chain(chain.prefix, *(x[start : start + most] for x in chain[1:]))
            own, asked = _tensor(here.own, device), _tensor(here.queries, device)
            found_z = attend(
                query[asked],
                shared,
                (key[own], values[own]),
                module=seams.attention[layer],
                options=found.options,
                softmax=seams.softmax[layer],
            )
            z.index_copy_(0, _tensor(here.out.reshape(-1), device), found_z.flatten(0, 1))
    return z


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
    device = states.device
    value = _tensor(step.plain_value, device)
    in_means = [members for _, members in step.middles]
    wanted = [
        {int(i) for members in (*step.attention_constants, *in_means) for i in members},
        {int(i) for members in step.mlp_constants for i in members} | {t.mlp for t in step.edited if t.mlp >= 0},
    ]
    seen: tuple[Seen, Seen] = ({}, {})
    for start in range(0, len(value), CHUNK):
        beat()
        part = slice(start, min(start + CHUNK, len(value)))
        here = [sorted(i for i in rows if part.start <= i < part.stop) for rows in wanted]
        sees = [Added(see=torch.tensor([i - start for i in rows], device=device)) if rows else NOTHING for rows in here]
        result = seams.block(
            layer, _rows(states, step.plain_value, value, part), z[part], attention=sees[0], mlp=sees[1]
        )
        out[part] = result[0]
        for kept, rows, added in zip(seen, here, result[1:], strict=True):
            if added is not None:
                kept.update(zip(rows, added, strict=True))
    # A constant of the middle of the stream: the mean of input plus what attention added.
    for row, members in step.middles:
        found = [states[value[int(i)]] + seen[0][int(i)] for i in members]
        states[row] = torch.stack(found).mean(dim=0) if found else 0
    return seen


def _edited(
    seams: Seams, layer: int, step: Step, states: Tensor, z: Tensor, out: Tensor, attention: Seen, mlp: Seen
) -> None:
    device, plain = states.device, len(step.plain_value)
    width = z.shape[1] // seams.model.heads
    fixed_z = [_mean(z, members) for members in step.head_constants]
    fixed_attention = [_mean_of(attention, members, states) for members in step.attention_constants]
    fixed_mlp = [_mean_of(mlp, members, states) for members in step.mlp_constants]

    def head_rows(k: int) -> Tensor:
        spec = step.heads[k]
        row = (z[spec.base] if spec.base >= 0 else fixed_z[-1 - spec.base]).clone()
        for head, node in spec.others:
            part = slice(head * width, (head + 1) * width)
            row[part] = (z[node] if node >= 0 else fixed_z[-1 - node])[part]
        return row

    for start in range(0, len(step.edited), CHUNK):
        tokens = step.edited[start : start + CHUNK]
        chunk_z = torch.stack([head_rows(start + k) for k in range(len(tokens))])
        puts = [
            _put([(k, fixed_attention[t.attention]) for k, t in enumerate(tokens) if t.attention >= 0], device),
            _put(
                [(k, mlp[t.mlp] if t.mlp >= 0 else fixed_mlp[-2 - t.mlp]) for k, t in enumerate(tokens) if t.mlp != -1],
                device,
            ),
        ]
        value = torch.tensor([t.value for t in tokens], device=device)
        result = seams.block(layer, states[value], chunk_z, attention=puts[0], mlp=puts[1])
        out[plain + start : plain + start + len(tokens)] = result[0]


def _mean_of(seen: Seen, members: Ints, like: Tensor) -> Tensor:
    found = [seen[int(i)] for i in members]
    return torch.stack(found).mean(dim=0) if found else like.new_zeros(like.shape[1])


def _put(values: list[tuple[int, Any]], device: torch.device) -> Added:
    if not values:
        return NOTHING
    return Added(put=(torch.tensor([k for k, _ in values], device=device), torch.stack([v for _, v in values])))
