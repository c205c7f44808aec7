"""Restored pairs: what of J is overwriting, and what is left of it once each patched token gets its own value back.

`f(a | own b)` puts the vector at a and the token's own value back at b, so that the blocks between have read the vector
and nobody behind them has. `O(a, b) = f(a | own b) − f(a)` is what overwriting at b takes away whatever is written
there, and `J°(a, b) = f(ab) − f(b) − f(a | own b)` the rest: `J = J° + O`. Where attention is frozen and all else is
linear, J° is 0: those who read up to b see a, those behind it see b.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ivx.stats.verdict import Verdict

PARTS = ("restored", "lost")
"""The two parts of J: J°, and what overwriting takes away."""
SYMBOL = {"restored": "J°", "lost": "O"}


@dataclass(frozen=True)
class RestoredPair:
    """The two parts of a pair's J, each judged over the map's pairs as J is; values in the metric's unit.

    Attributes:
        patch, own: addresses of the pair, and of its first player with the token's own value back at the second.
        left: f(a | own b).
        restored, lost: J° and O.
        degenerate: why J° follows from the singles, without a run; empty where it does not.
    """

    patch: str
    own: str
    left: float
    restored: Verdict
    lost: Verdict
    degenerate: str
    n: int

    @property
    def first(self) -> str:
        """Address of the pair's lower player."""
        return self.patch.split(",")[0]

    @property
    def second(self) -> str:
        """Address of the pair's higher player."""
        return self.patch.split(",")[1]

    def part(self, name: str) -> Verdict:
        """One of `PARTS`."""
        return self.restored if name == "restored" else self.lost

    def told(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        parts = {
            name: part.plain() | {"controls": {of: one._asdict() for of, one in part.against.items()}}
            for name in PARTS
            for part in [self.part(name)]
        }
        about = {name: getattr(self, name) for name in ("first", "second", "patch", "own", "left", "degenerate", "n")}
        return about | parts


def given_back(pairs: Iterable[str]) -> dict[str, str]:
    """By the address of each pair, that of its first player with the token's own value back at the second."""
    found = {}
    for pair in pairs:
        first, second = pair.split(",")
        found[pair] = f"{first},{second.partition('~')[0]}=own"
    return found


def terms(part: str, pair: str, own: str, equals: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """The sets whose effects make up a part of J, and how often each is counted; equal sets are counted as one."""
    first, second = pair.split(",")
    counted = {"restored": ((pair, 1), (second, -1), (own, -1)), "lost": ((own, 1), (first, -1))}[part]
    found: dict[str, int] = {}
    for text, times in counted:
        name = equals.get(text, (text, ""))[0]
        found[name] = found.get(name, 0) + times
    return found
