"""How a sweep's rows were made: by plan or by hooks, and on which devices or actors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

MOST_NAMED = 8
"""More devices than these are counted and not named."""


class Maker(NamedTuple):
    """Who made rows: a replica by its name, its device, and why hooks did the work; empty where the plan did."""

    name: str
    device: str
    why: str = ""


@dataclass(frozen=True)
class How:
    """Who made the rows of one or more sweeps.

    Attributes:
        makers: every replica that made some.
        cluster: whether they are actors of a Ray cluster.
        died: how often an actor died whose samples were then given out again.
        kernels: what became of kernels made for a GPU, on one that is used alone.
    """

    makers: frozenset[Maker] = frozenset()
    cluster: bool = False
    died: int = 0
    kernels: frozenset[str] = frozenset()

    def __or__(self, other: How) -> How:
        """Of both together."""
        return How(
            self.makers | other.makers,
            self.cluster or other.cluster,
            self.died + other.died,
            self.kernels | other.kernels,
        )

    def __str__(self) -> str:
        """As a receipt says it, such as `plan`, or `hooks on 2 devices (cpu, cpu): asked for`."""
        whys = sorted({maker.why for maker in self.makers if maker.why})
        planned = any(not maker.why for maker in self.makers)
        ways = " and ".join(["plan"] * planned + ["hooks"] * bool(whys))
        died = f"; {self.died} died, {'its' if self.died == 1 else 'their'} samples were given out again"
        kernels = "".join(f", {told}" for told in sorted(self.kernels))
        return f"{ways}{self._where()}{': ' * bool(whys)}{'; '.join(whys)}{died if self.died else ''}{kernels}"

    def _where(self) -> str:
        devices = sorted({maker.name: maker.device for maker in self.makers}.items())
        n, named = len(devices), ", ".join(device for _, device in devices)
        if self.cluster:
            kinds = ", ".join(sorted({device for _, device in devices}))
            return f" on a Ray cluster of {n} actor{'s' * (n > 1)} ({kinds})"
        if n < 2:
            return ""
        return f" on {n} devices" + (f" ({named})" if n <= MOST_NAMED else "")

    def packed(self) -> bytes:
        """As a table's metadata holds it."""
        return json.dumps([sorted(self.makers), self.cluster, self.died, sorted(self.kernels)]).encode()

    @classmethod
    def unpacked(cls, told: bytes) -> How:
        """Read what `packed` wrote."""
        makers, cluster, died, kernels = json.loads(told)
        return cls(frozenset(Maker(*maker) for maker in makers), cluster, died, frozenset(kernels))
