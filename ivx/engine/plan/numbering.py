"""Numbering: at every layer, equal states of a sweep get the same number, so that each is computed once.

A state at (layer, position) is fixed by its residual input and by the states before it. So the tokens of all runs,
patched or not, form a trie at every layer: a *node* is (parent node, residual input), and two runs that share a node
share everything computed there. A patch only rewires: "my residual input is the source's", or, of `=own`, "is my
target's where nothing is patched", which is numbered already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ivx.engine.address import OWN, RANDOM, Patch, PatchSet, spots
from ivx.engine.draws import Draw, draw_of

Ints = NDArray[np.int64]


class Constant(NamedTuple):
    """A state made of other states: their mean, zero where there are none; with a draw, a random one of that norm."""

    members: tuple[int, ...] = ()
    draw: Draw | None = None


COMPUTED = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")
"""The sites of a block in the order in which they are computed."""


class Row(NamedTuple):
    """One run to be read: indices of its target and source prompt, and what is patched."""

    target: int
    source: int
    patches: PatchSet


class Heads(NamedTuple):
    """A patched `z`: node `base` with some heads from other nodes. Negative nodes −1−c are constant c."""

    base: int
    others: tuple[tuple[int, int], ...]


class Token(NamedTuple):
    """An edited token of a block.

    `value` is its residual input, `heads` a node or, numbered after the nodes, an edited `z`; `attention` a constant
    that replaces what attention adds, or −1; `mlp` the token whose MLP output is added instead of its own, −1 for none,
    or −2−c for constant c.
    """

    value: int
    heads: int
    attention: int = -1
    mlp: int = -1


@dataclass
class Layer:
    """The numbers of one layer.

    Residual inputs (*values*) are numbered: tokens of the layer before, then `constants`, whose members are values,
    then `middles`, constants of `resid_mid`, whose members are this layer's tokens. Tokens are numbered: nodes, then
    `tokens`.

    Attributes:
        nodes: `[classes, positions]`, −1 past a class's end; a class is a set of rows that are equal so far.
        value, position, parent, creator: `[nodes]`; the creator is the first class that holds the node.
    """

    values: int
    nodes: Ints
    value: Ints
    position: Ints
    parent: Ints
    creator: Ints
    constants: list[Constant]
    middles: list[Constant] = field(default_factory=list)
    heads: list[Heads] = field(default_factory=list)
    head_constants: list[Constant] = field(default_factory=list)
    attention_constants: list[Constant] = field(default_factory=list)
    mlp_constants: list[Constant] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)


@dataclass(frozen=True)
class Numbering:
    """All layers' numbers, the (prompt, position) of each embedding, and the states that are read.

    `rows` and `prompts` are the numbers of the states that each row, and each prompt unpatched, is read from: tokens of
    the last layer, then `constants`.
    """

    layers: list[Layer]
    embeddings: Ints
    rows: Ints
    prompts: Ints
    constants: list[Constant]


class _Origin(NamedTuple):
    """Where a write's value is from: the row's target, the prompt whose state is taken, and the position there."""

    target: int
    source: int
    taken: int


class _Interned(dict):
    """Numbers things in the order in which they first come."""

    def __init__(self, onto: list) -> None:
        super().__init__()
        self.onto = onto

    def number(self, thing: object) -> int:
        if thing not in self:
            self[thing] = len(self.onto)
            self.onto.append(thing)
        return self[thing]


class Numberer:
    """Numbers a sweep layer by layer. `means` gives, for each `=mean` patch, the (prompt, position) pairs averaged."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        *,
        layers: int,
        heads: int,
        means: dict[Patch, list[tuple[int, int]]],
    ) -> None:
        self.prompts, self.rows, self.heads, self.means = prompts, rows, heads, means
        self.length = np.array([len(ids) for ids in prompts], dtype=np.int64)
        self.depth = layers
        self.by_layer: list[list[tuple[int, PatchSet]]] = [[] for _ in range(layers)]
        staged: dict[PatchSet, list[tuple[int, PatchSet]]] = {}
        for r, row in enumerate(rows):
            if row.patches not in staged:
                staged[row.patches] = list(_staged(row.patches))
            for layer, patches in staged[row.patches]:
                self.by_layer[layer].append((r, patches))
        self.spots: dict[tuple[Patch, int, int], list[tuple[int, int]]] = {}

    def run(self) -> Numbering:
        """Number every layer."""
        prompts, width = len(self.prompts), int(self.length.max())
        x, embeddings = self._embedded(width)
        self.row_class = np.array([row.target for row in self.rows], dtype=np.int64)
        self.class_prompt = np.arange(prompts)
        values = len(embeddings)
        constants: list[Constant] = []
        found = []
        for layer in range(self.depth):
            parents, work = self._split(layer)
            x = np.concatenate([x, x[parents]])
            first = len(x) - len(work)
            self._before(x, first, work, values, _Interned(constants))
            made = self._trie(x, values, constants)
            x, values, constants = self._block(made, first, work)
            found.append(made)
        last = self.length[self.class_prompt] - 1
        ends = x[np.arange(len(x)), last]
        return Numbering(found, embeddings, ends[self.row_class], ends[:prompts], constants)

    def _embedded(self, width: int) -> tuple[Ints, Ints]:
        """Number the embeddings by token id and position: `[prompts, width]`, and one (prompt, position) of each."""
        where = [(i, t) for i, ids in enumerate(self.prompts) for t in range(len(ids))]
        keys = [self.prompts[i][t] * width + t for i, t in where]
        _, at, inverse = np.unique(keys, return_index=True, return_inverse=True)
        x = np.full((len(self.prompts), width), -1, dtype=np.int64)
        places = np.array(where, dtype=np.int64)
        x[places[:, 0], places[:, 1]] = inverse
        return x, places[at]

    def _split(self, layer: int) -> tuple[Ints, list[tuple[int, int, PatchSet]]]:
        """New classes of rows that were equal and are patched alike here: their parents, and what is patched."""
        known: dict[tuple[int, int, int], int] = {}
        parents: list[int] = []
        work: list[tuple[int, int, PatchSet]] = []
        before = len(self.class_prompt)
        alike: dict[PatchSet, int] = {}
        for r, patches in self.by_layer[layer]:
            row = self.rows[r]
            key = (int(self.row_class[r]), row.source, alike.setdefault(patches, len(alike)))
            if key not in known:
                known[key] = before + len(parents)
                parents.append(key[0])
                work.append((row.target, row.source, patches))
            self.row_class[r] = known[key]
        found = np.array(parents, dtype=np.int64)
        self.class_prompt = np.concatenate([self.class_prompt, self.class_prompt[found]])
        return found, work

    def _spots(self, patch: Patch, target: int, source: int) -> list[tuple[int, int]]:
        key = (patch, int(self.length[target]), int(self.length[source]))
        if key not in self.spots:
            self.spots[key] = spots(patch, sample=0, target=self.prompts[target], source=self.prompts[source])
        return self.spots[key]

    def _sites(
        self, work: Sequence[tuple[int, int, PatchSet]], first: int, *sites: str
    ) -> Iterable[tuple[int, Patch, int, _Origin]]:
        """(class, patch, position, origin) of every write at these sites."""
        for i, (target, source, patches) in enumerate(work, start=first):
            for patch in patches:
                if patch.site in sites:
                    giver = target if patch.value == OWN else source
                    for position, taken in self._spots(patch, target, source):
                        yield i, patch, position, _Origin(target, giver, taken)

    def _constant(self, patch: Patch, origin: _Origin, numbers: Ints) -> Constant:
        if patch.value == "zero":
            return Constant()
        if patch.value == RANDOM:
            target, source = self.prompts[origin.target], self.prompts[origin.source]
            draw = draw_of(patch, target=target, source=source, taken=origin.taken)
            return Constant((int(numbers[origin.source, origin.taken]),), draw)
        return Constant(tuple(int(numbers[prompt, position]) for prompt, position in self.means[patch]))

    def _before(self, x: Ints, first: int, work: list, values: int, constants: _Interned) -> None:
        for i, patch, position, origin in self._sites(work, first, "resid_pre"):
            if patch.copies:
                x[i, position] = x[origin.source, origin.taken]
            else:
                x[i, position] = values + constants.number(self._constant(patch, origin, x))

    def _trie(self, x: Ints, values: int, constants: list[Constant]) -> Layer:
        """Give every (parent node, value) a number, position by position."""
        total = values + len(constants)
        nodes = np.full_like(x, -1)
        length = self.length[self.class_prompt]
        parent = np.full(len(x), -1, dtype=np.int64)
        columns: list[tuple[Ints, ...]] = []
        count = 0
        for t in range(x.shape[1]):
            alive = np.flatnonzero(length > t)
            if len(alive) == 0:
                break
            key = (parent[alive] + 1) * total + x[alive, t]
            _, at, inverse = np.unique(key, return_index=True, return_inverse=True)
            makers = alive[at]
            columns.append((x[makers, t], np.full(len(at), t), parent[makers], makers))
            parent[alive] = nodes[alive, t] = count + inverse
            count += len(at)
        value, position, above, creator = (np.concatenate(column) for column in zip(*columns, strict=True))
        return Layer(values, nodes, value, position, above, creator, constants)

    def _block(self, made: Layer, first: int, work: list) -> tuple[Ints, int, list[Constant]]:
        """Edit what the block's parts add; returns the next layer's values, their count and their constants."""
        nodes, count = made.nodes, len(made.value)
        edits: dict[tuple[int, int], Token] = {}
        specs, middles = _Interned(made.heads), _Interned(made.middles)
        z_constants, attention, mlp = map(
            _Interned, (made.head_constants, made.attention_constants, made.mlp_constants)
        )

        def default(node: int) -> Token:
            return Token(int(made.value[node]), int(node))

        # The sites of a block in the order in which they are computed, as `_staged` has sorted them.
        for i, patch, position, origin in self._sites(work, first, "z", "attn_out", "resid_mid", "mlp_out"):
            token = edits.get((i, position)) or default(nodes[i, position])
            theirs = int(nodes[origin.source, origin.taken])
            if patch.site == "z":
                node = theirs if patch.copies else -1 - z_constants.number(self._constant(patch, origin, nodes))
                token = token._replace(heads=self._with_heads(made, token.heads, patch.head, node, specs))
            elif patch.site == "attn_out":
                if patch.copies:
                    token = token._replace(heads=theirs, attention=-1)
                else:
                    token = token._replace(attention=attention.number(self._constant(patch, origin, nodes)))
            elif patch.site == "resid_mid":
                if patch.copies:
                    token = default(theirs)
                else:
                    # A run whose stream is the constant and to which attention adds nothing.
                    value = made.values + len(made.constants) + middles.number(self._constant(patch, origin, nodes))
                    token = Token(value, int(nodes[i, position]), attention.number(Constant()))
            elif patch.copies:
                # A token that is theirs up to here adds by itself what theirs adds.
                same = token._replace(mlp=-1) == default(theirs)
                token = token._replace(mlp=-1 if same else theirs)
            else:
                token = token._replace(mlp=-2 - mlp.number(self._constant(patch, origin, nodes)))
            edits[i, position] = token
        x = nodes.copy()
        tokens = _Interned(made.tokens)
        for (i, position), token in edits.items():
            plain = token.heads < count and token == default(token.heads)
            x[i, position] = token.heads if plain else count + tokens.number(token)
        values = count + len(made.tokens)
        constants: list[Constant] = []
        numbers = _Interned(constants)
        for i, patch, position, origin in self._sites(work, first, "resid_post"):
            if patch.copies:
                x[i, position] = nodes[origin.source, origin.taken]
            else:
                x[i, position] = values + numbers.number(self._constant(patch, origin, nodes))
        return x, values, constants

    def _with_heads(self, made: Layer, heads: int, head: int | None, node: int, specs: _Interned) -> int:
        count = len(made.value)
        spec = Heads(heads, ()) if heads < count else made.heads[heads - count]
        if head is None:
            spec = Heads(node, ())
        else:
            others = {**dict(spec.others), head: node}
            # Where every head is another's, nothing of the base is left, and any of them may stand in its place.
            base = spec.base if len(others) < self.heads else min(others.values())
            spec = Heads(base, tuple(sorted((h, other) for h, other in others.items() if other != base)))
        if not spec.others and spec.base >= 0:
            return spec.base
        return count + specs.number(spec)


def _staged(patches: PatchSet) -> Iterable[tuple[int, PatchSet]]:
    """The patches of a set by layer, those of one layer in the order in which their sites are computed."""
    order = {site: k for k, site in enumerate(COMPUTED)}
    for layer in sorted({patch.layer for patch in patches}):
        here = sorted((p for p in patches if p.layer == layer), key=lambda p: order[p.site])
        yield layer, tuple(here)
