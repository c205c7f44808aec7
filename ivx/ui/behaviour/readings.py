"""What the matrix of behaviour says, in sentences made from its numbers."""

from __future__ import annotations

from html import escape

from ivx.analyses.behaviour.result import Behaviour, BehaviourCell

NAMED = 3
"""Most tasks that a sentence names."""


def reading(result: Behaviour) -> str:
    """In how many tasks, and in which way most, the instruction is followed; which are not, and what most write."""
    tasks = [task for task in result.tasks if any(name == task for name, _ in result.cells)]
    best = {task: way for task in tasks if (way := result.recommended(task)) is not None}
    name = escape(result.receipt["checkpoint"]["name"])
    if not best:
        return f"<b>{name} follows none of {len(tasks)} tasks</b> in any way that was tried.{_instead(result)}"
    counts = {way: list(best.values()).count(way) for way in result.ways}
    often = max(counts, key=lambda way: counts[way])
    left = [task for task in tasks if task not in best]
    told = f"{name} follows <b>{len(best)} of {len(tasks)} tasks</b>, {counts[often]} of them most surely by {often}."
    if left:
        more = f" and {len(left) - NAMED} more" * (len(left) > NAMED)
        told += f" In no way: <b>{', '.join(map(escape, left[:NAMED]))}</b>{more}."
    return told


def _instead(result: Behaviour) -> str:
    counts: dict[str, int] = {}
    for cell in result.cells.values():
        for text, count in cell.told.instead:
            counts[text] = counts.get(text, 0) + count
    top = max(counts, key=lambda text: counts[text], default=None)
    return "" if top is None else f" Told, it most often writes “{escape(top or 'nothing')}”."


def verdict(cell: BehaviourCell) -> str:
    """What one cell says of following."""
    told, bare, gain = cell.told.followed, cell.bare.followed, cell.following.difference
    shares = f"told {told.told}, untold {bare.told}, difference {gain.told}"
    if cell.follows:
        return f"follows: {shares}"
    if cell.following.follows:
        return f"no more than the told prompt does without its instruction (see prompt): {shares}"
    if gain.low > 0:
        return f"more told than untold, but too few to say that it follows: {shares}"
    if told.value > bare.value:
        return f"not shown to follow: {shares}"
    return f"does not follow, no more told than untold: {shares}"
