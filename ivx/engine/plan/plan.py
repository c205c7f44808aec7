"""The plan of a sweep: which states are computed, layer by layer, and what that costs, before anything runs.

`Numberer` gives every distinct state a number; a walk back from the states that are read keeps what they need. At the
last layer that is one token a row; a state that is only read as key and value stops after its projections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ivx.engine.address import Patch
from ivx.engine.draws import Draw
from ivx.engine.plan.chains import Chain, gather
from ivx.engine.plan.numbering import Constant, Heads, Ints, Layer, Numberer, Row, Token


class Made(NamedTuple):
    """A constant, its members as rows of a table."""

    rows: Ints
    draw: Draw | None


@dataclass(frozen=True)
class Step:
    """One layer. Tables are numbered densely: only what is needed has a row.

    Attributes:
        inputs: number of rows of the table of residual inputs; `constants` and `middles`, (row, made of), are its last.
        projected_value, projected_position: what goes through the projections of attention.
        chains: attention over the projections; its outputs make a table of `attended` rows.
        plain_value: residual input of each unedited token, whose `z` is the row of the same number.
        edited: tokens with another `z`, another attention or another MLP output; they follow the plain ones.
        heads: the edited `z` rows, behind the attended ones.
    """

    inputs: int
    constants: list[tuple[int, Made]]
    middles: list[tuple[int, Made]]
    projected_value: Ints
    projected_position: Ints
    chains: list[Chain]
    attended: int
    plain_value: Ints
    edited: list[Token]
    heads: list[Heads]
    head_constants: list[Made]
    attention_constants: list[Made]
    mlp_constants: list[Made]

    @property
    def tokens(self) -> int:
        """Tokens that go through the whole block."""
        return len(self.plain_value) + len(self.edited)


class Cost(NamedTuple):
    """Numbers of states: projected, through a whole block, in one forward pass per row (`rowwise`), held at once."""

    projected: int
    tokens: int
    rowwise: int
    peak_states: int


class Largest(NamedTuple):
    """Rows of the largest table of each kind: residual states, projected tokens, heads' outputs."""

    states: int
    projected: int
    attended: int


@dataclass(frozen=True)
class Plan:
    """What `execute` runs: `rows` and `prompts` are rows of the last table of states, −1 for a prompt not read."""

    steps: list[Step]
    embeddings: Ints
    constants: list[tuple[int, Made]]
    final: int
    largest: Largest
    rows: Ints
    prompts: Ints
    cost: Cost


def plan(
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
    *,
    layers: int,
    heads: int,
    means: dict[Patch, list[tuple[int, int]]],
    read: Sequence[int] = (),
) -> Plan:
    """Plan a sweep.

    Args:
        prompts: distinct prompts, token ids.
        rows: what is patched into which of them; each is read at its target's last token.
        means: the (prompt, position) pairs that each `=mean` patch averages.
        read: prompts that are read unpatched, too.
    """
    numbering = Numberer(prompts, rows, layers=layers, heads=heads, means=means).run()
    last = numbering.layers[-1]
    final = np.zeros(len(last.value) + len(last.tokens) + len(numbering.constants), dtype=bool)
    final[numbering.rows] = final[numbering.prompts[list(read)]] = True
    needs, need = [], _with_members(final, len(last.value) + len(last.tokens), numbering.constants)
    for layer in reversed(numbering.layers):
        needs.append(_needs(layer, need))
        need = needs[-1].values
    tables = [
        _Table(n.values, layer.values, layer.constants) for n, layer in zip(needs[::-1], numbering.layers, strict=True)
    ]
    tables.append(_Table(final, len(last.value) + len(last.tokens), numbering.constants))
    steps = [
        _step(layer, needed, tables[i], tables[i + 1])
        for i, (layer, needed) in enumerate(zip(numbering.layers, needs[::-1], strict=True))
    ]
    asked = np.full(len(prompts), -1, dtype=np.int64)
    asked[list(read)] = tables[-1].row[numbering.prompts[list(read)]]
    largest = Largest(
        states=max(int(final.sum()), *(s.inputs for s in steps)),
        projected=max(len(s.projected_value) for s in steps),
        attended=max(s.attended for s in steps),
    )
    return Plan(
        steps=steps,
        embeddings=numbering.embeddings[tables[0].need[: len(numbering.embeddings)]],
        constants=tables[-1].filled(),
        final=int(final.sum()),
        largest=largest,
        rows=tables[-1].row[numbering.rows],
        prompts=asked,
        cost=Cost(
            projected=sum(len(s.projected_value) for s in steps),
            tokens=sum(s.tokens for s in steps),
            rowwise=layers * sum(len(prompts[row.target]) for row in rows),
            # Residual states are there as a layer's input and as its output; keys, queries, values; heads' outputs.
            peak_states=2 * largest.states + 3 * largest.projected + largest.attended,
        ),
    )


def _with_members(need: np.ndarray, outputs: int, constants: list[Constant]) -> np.ndarray:
    """Mark in place the members of needed constants as needed, too."""
    for k in np.flatnonzero(need[outputs : outputs + len(constants)]):
        need[list(constants[k].members)] = True
    return need


class _Table:
    """Rows of a table of residual states: the needed ones of a block's tokens, then of constants."""

    def __init__(self, need: np.ndarray, outputs: int, constants: list[Constant]) -> None:
        self.need, self.outputs, self.constants = need, outputs, constants
        self.row = np.full(len(need), -1, dtype=np.int64)
        self.row[need] = np.arange(int(need.sum()))

    def filled(self) -> list[tuple[int, Made]]:
        """The needed constants: their row, and what they are made of."""
        return [
            (int(self.row[self.outputs + k]), _made(self.row, constant))
            for k, constant in enumerate(self.constants)
            if self.need[self.outputs + k]
        ]


class _Needs(NamedTuple):
    """What is needed of a layer: values, nodes (through the whole block, attention, or as keys), and edited tokens."""

    values: np.ndarray
    plain: np.ndarray
    attended: np.ndarray
    keys: np.ndarray
    edited: list[Token]


def _needs(layer: Layer, need: np.ndarray) -> _Needs:
    """Walk back through one layer from the needed outputs. Marks in `need` the plain tokens that edited ones read."""
    nodes = len(layer.value)
    edited = [token for k, token in enumerate(layer.tokens) if need[nodes + k]]
    plain, attended = need[:nodes], np.zeros(nodes, dtype=bool)
    known = layer.values + len(layer.constants)
    values = np.zeros(known + len(layer.middles), dtype=bool)
    for token in edited:
        values[token.value] = True
        if token.value >= known:
            plain[list(layer.middles[token.value - known].members)] = True
        if token.attention >= 0:
            plain[list(layer.attention_constants[token.attention].members)] = True
        if token.mlp >= 0:
            plain[token.mlp] = True
        elif token.mlp < -1:
            plain[list(layer.mlp_constants[-2 - token.mlp].members)] = True
        spec = _spec(layer, token)
        for node in (spec.base, *(node for _, node in spec.others)):
            attended[[node] if node >= 0 else list(layer.head_constants[-1 - node].members)] = True
    attended |= plain
    keys = _ancestors(layer, attended)
    values[layer.value[keys]] = True
    return _Needs(_with_members(values, layer.values, layer.constants), plain, attended, keys, edited)


def _spec(layer: Layer, token: Token) -> Heads:
    nodes = len(layer.value)
    return Heads(token.heads, ()) if token.heads < nodes else layer.heads[token.heads - nodes]


def _step(layer: Layer, needed: _Needs, before: _Table, after: _Table) -> Step:
    """The layer with its numbers turned into rows of tables."""
    nodes, width = len(layer.value), layer.nodes.shape[1]
    chains, computed = gather(layer, needed.attended)
    pair = before.row[layer.value[needed.keys]] * width + layer.position[needed.keys]
    projected, inverse = np.unique(pair, return_inverse=True)
    key_row = np.full(nodes, -1, dtype=np.int64)
    key_row[needed.keys] = inverse
    # Rows of z: the plain tokens' first and in their order, so that no gather stands between attention and block.
    z_row = np.full(nodes, -1, dtype=np.int64)
    plain = int(needed.plain.sum())
    z_row[needed.plain] = np.arange(plain)
    others = computed & ~needed.plain
    z_row[others] = plain + np.arange(int(others.sum()))
    known = layer.values + len(layer.constants)
    specs = [_spec(layer, token) for token in needed.edited]

    def members(row: Ints, constants: list[Constant], used: set[int]) -> list[Made]:
        return [_made(row, c if k in used else Constant()) for k, c in enumerate(constants)]

    used_heads = {-1 - node for s in specs for node in (s.base, *(node for _, node in s.others)) if node < 0}
    used_attention = {token.attention for token in needed.edited}
    used_mlp = {-2 - token.mlp for token in needed.edited if token.mlp < -1}
    return Step(
        inputs=int(before.need.sum()),
        constants=before.filled(),
        middles=[
            (int(before.row[known + k]), _made(after.row, middle))
            for k, middle in enumerate(layer.middles)
            if before.need[known + k]
        ],
        projected_value=projected // width,
        projected_position=projected % width,
        chains=[Chain(key_row[c.prefix], key_row[c.own], key_row[c.queries], z_row[c.out]) for c in chains],
        attended=int(computed.sum()),
        plain_value=before.row[layer.value[needed.plain]],
        edited=[
            Token(int(before.row[t.value]), k, t.attention, _through(after.row, t.mlp))
            for k, t in enumerate(needed.edited)
        ],
        heads=[
            Heads(_through(z_row, spec.base), tuple((h, _through(z_row, node)) for h, node in spec.others))
            for spec in specs
        ],
        head_constants=members(z_row, layer.head_constants, used_heads),
        attention_constants=members(after.row, layer.attention_constants, used_attention),
        mlp_constants=members(after.row, layer.mlp_constants, used_mlp),
    )


def _made(row: Ints, constant: Constant) -> Made:
    return Made(row[list(constant.members)], constant.draw)


def _through(row: Ints, number: int) -> int:
    """The row of a state; constants keep their negative number."""
    return int(row[number]) if number >= 0 else number


def _ancestors(layer: Layer, attended: np.ndarray) -> np.ndarray:
    """The nodes whose keys and values are read: the attended ones and all before them."""
    keys = attended.copy()
    # Nodes are numbered position by position, so one sweep from the last position reaches every ancestor.
    bounds = np.searchsorted(layer.position, np.arange(layer.nodes.shape[1] + 1))
    for t in range(layer.nodes.shape[1] - 1, 0, -1):
        here = np.arange(bounds[t], bounds[t + 1])
        keys[layer.parent[here[keys[here]]]] = True
    return keys
