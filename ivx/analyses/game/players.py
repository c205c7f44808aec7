"""The players of a clean game: every block by itself, or groups of adjacent blocks that are read together.

Beyond `EXACT` blocks the game is played coarse to fine. First the players are four groups of adjacent blocks, then each
group's two halves; of these the ones that matter are opened, and their blocks play one by one beside the other groups.
Each partition refines the one before, so that its rows serve again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

Players = tuple[range, ...]
"""The blocks of each player, from the first block to the last; none is in two, none left out."""
Blocks = tuple[int, ...]

EXACT = 10
"""Most players for which every coalition is run."""
GROUPS = 8
"""Groups of adjacent blocks that are players where there are more blocks than `EXACT`."""
MOST = 16
"""Players up to which a second group, and more, is opened."""
SHARE = 0.8
"""Groups are opened, the largest first, until they hold this share of all Shapley values' sizes."""


def blocks_alone(layers: int) -> Players:
    """Every block a player."""
    return tuple(range(i, i + 1) for i in range(layers))


def partitions(layers: int) -> tuple[Players, ...]:
    """The partitions that are played whatever is found, the coarsest first."""
    if layers <= EXACT:
        return (blocks_alone(layers),)
    groups = tuple(range(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(layers), GROUPS))
    pairs = tuple(range(one.start, two.stop) for one, two in zip(groups[::2], groups[1::2], strict=True))
    return pairs, groups


def opened(groups: Players, which: Collection[int]) -> Players:
    """The groups, with the blocks of some of them as players of their own."""
    return tuple(
        part for k, group in enumerate(groups) for part in ([range(i, i + 1) for i in group] if k in which else [group])
    )


def matter(groups: Players, values: Sequence[float]) -> tuple[int, ...]:
    """The groups to open: those of the largest Shapley values, until they hold `SHARE` of all or the players are too
    many; at least one, where one holds several blocks and does anything."""
    sizes = np.nan_to_num(np.abs(np.asarray(values)))
    found: list[int] = []
    held = 0.0
    for k in np.argsort(-sizes, kind="stable").tolist():
        if held >= SHARE * sizes.sum():
            break
        held += sizes[k]
        if len(groups[k]) > 1 and (not found or len(opened(groups, [*found, k])) <= MOST):
            found.append(k)
    return tuple(sorted(found))


def seen_in(played: Iterable[Blocks], layers: int) -> Players:
    """The finest partition that some coalitions, by their blocks, were played with."""
    *_, groups = partitions(layers)
    split: set[int] = set()
    for blocks in played:
        inside = set(blocks)
        split.update(k for k, group in enumerate(groups) if 0 < sum(i in inside for i in group) < len(group))
    return opened(groups, split)


def name(player: range) -> str:
    """How a player is called: `L4`, or `L4–7` where it is a group."""
    return f"L{player[0]}" if len(player) == 1 else f"L{player[0]}–{player[-1]}"


def told(players: Players) -> str:
    """What the players are, in a sentence; empty where each is a block."""
    groups = [name(player) for player in players if len(player) > 1]
    if not groups:
        return ""
    alone = [name(player) for player in players if len(player) == 1]
    beside = f"; {', '.join(alone)} play by themselves" if alone else ""
    return f"a group of adjacent layers is one player, all of them read together: {', '.join(groups)}{beside}"
