"""Guesses: what a reader may answer, what a run says to it, and what a guess is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ivx.numeral import index_of

EXACT, NEAR = 2, 1
"""Points of a guess that is right, and of one that is next to it."""
NOWHERE = "nowhere"
"""A guess that there is nothing to be found, where a layer or a pair is asked for."""

Bar = tuple[str, float, float, float]
"""A name, a mean and its interval."""


@dataclass(frozen=True)
class Ask:
    """How one answers: by a `layer`, a `pair` of layers, or a `choice`; `options` are a choice's keys and labels."""

    kind: str
    options: tuple[tuple[str, str], ...] = ()

    def answers(self, layers: int) -> dict[str, str]:
        """The labels of all possible answers, by key."""
        if self.kind == "layer":
            return {str(i): f"L{i}" for i in range(layers)} | {NOWHERE: NOWHERE}
        if self.kind == "pair":
            pairs = [(low, high) for high in range(layers) for low in range(high)]
            return {pair_key(low, high): f"L{low} and L{high}" for low, high in pairs} | {NOWHERE: "no pair"}
        return dict(self.options)


@dataclass(frozen=True)
class Truth:
    """What a run says: the answers that are right, those next to them, and a sentence made by rule.

    `bars` are the numbers behind the sentence, in one unit, to be drawn; `marks` the layers that it speaks of, by the
    name of the result.
    """

    best: frozenset[str]
    near: frozenset[str]
    said: str
    bars: tuple[Bar, ...]
    marks: Mapping[str, int]

    def points(self, guess: str) -> int:
        """2 for a right guess, 1 for one next to it, else 0."""
        return EXACT if guess in self.best else NEAR if guess in self.near else 0


def truth(best: Iterable[str], near: Iterable[str], said: str, bars: Sequence[Bar] = (), **marks: int) -> Truth:
    """A `Truth` whose near answers leave out the right ones."""
    right = frozenset(best)
    return Truth(right, frozenset(near) - right, said, tuple(bars), marks)


def ordered(ask: Ask, key: str) -> list[str]:
    """The neighbours of a choice, where the choices have an order."""
    keys = [name for name, _ in ask.options]
    at = keys.index(key)
    return keys[max(0, at - 1) : at] + keys[at + 1 : at + 2]


def pair_key(low: int, high: int) -> str:
    """A pair of layers as a guess names it."""
    return f"{low}-{high}"


def pair_of(key: str) -> tuple[int, int] | None:
    """The layers of a pair's key; None where it names no pair."""
    low, high = map(index_of, key.partition("-")[::2])
    return None if low is None or high is None else (low, high)


def beside(low: int, high: int, layers: int) -> list[str]:
    """The pairs that touch a pair on the map."""
    steps = (-1, 0, 1)
    around = [(low + a, high + b) for a in steps for b in steps if (a, b) != (0, 0)]
    return [pair_key(i, j) for i, j in around if 0 <= i < j < layers]
