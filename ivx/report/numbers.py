"""What a part of a report says first, and the numbers that stand under its figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Result
from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.place.result import Place
from ivx.analyses.place.text import placed, read
from ivx.charts.numbers import signed
from ivx.stats.following import FLOOR

MOST = 10
"""Most rows of a table."""
HEADS = ("Where", "Mean", "95 % interval", "p", "Control", "n", "Verdict")
VERDICTS = {"ok": "beyond its control", "control": "no better than its control", "zero": "not different from 0"}
Row = dict[str, Any]
"""A number of a figure, as `ivx.formats.plotted` has it."""


def findings(found: Result[Any]) -> list[str]:
    """What a result shows, in sentences with their numbers."""
    if isinstance(found, Behaviour):
        return _followed(found)
    if isinstance(found, Place):
        summary = found.summary()
        return [f"{line[0].upper()}{line[1:]}." for line in (*placed(summary), *_read(summary))]
    rows = top(found.plotted().to_pylist(), most=1)
    if not rows:
        return ["No cell of it is different from 0 and beyond its control."]
    return [f"Strongest: {sentence(rows[0])}."]


def top(rows: list[Row], *, most: int = MOST) -> list[Row]:
    """The rows that say most: those beyond their control, the largest first; those without a verdict likewise."""
    able = [row for row in rows if row["state"] in ("ok", "") and row["mean"] is not None]
    return sorted(able, key=lambda row: -abs(row["mean"]))[:most]


def sentence(row: Row) -> str:
    """A number with its interval, control and n."""
    control = "" if row["control"] is None else f", control {number(row['control'], row)}"
    n = "" if row["n"] is None else f", n = {row['n']}"
    value = " ".join(filter(None, [number(row["mean"], row), unit(row), interval(row)]))
    return f"{value} at {row['label']}{control}{n}"


def cells(row: Row) -> tuple[str, ...]:
    """A row under the `HEADS`."""
    return (
        row["label"],
        number(row["mean"], row),
        interval(row),
        "" if row["p"] is None else "<0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
        "" if row["control"] is None else number(row["control"], row),
        "" if row["n"] is None else str(row["n"]),
        str(VERDICTS.get(row["state"], row["state"])),
    )


def number(value: float, row: Row) -> str:
    """A value in its unit: a share as per cents, anything else with a sign."""
    return f"{100 * value:.0f} %" if row["unit"] == "share" else signed(value, 2)


def unit(row: Row) -> str:
    """The unit that stands behind a number; a share has said so."""
    return "" if row["unit"] == "share" else str(row["unit"] or "")


def interval(row: Row) -> str:
    """The ends of a number's interval; empty where it has none."""
    if row["low"] is None or row["high"] is None:
        return ""
    return f"[{number(row['low'], row)}, {number(row['high'], row)}]"


def _followed(found: Behaviour) -> list[str]:
    said = []
    for task in found.tasks:
        every = [cell for (name, _), cell in found.cells.items() if name == task]
        if not every:
            continue
        best = max(every, key=lambda cell: (cell.follows, cell.following.difference.value))
        unsure = best.told.followed.value > max(best.bare.followed.value, FLOOR)
        verb = "Follows" if best.follows else "Is not shown to follow" if unsure else "Does not follow"
        said.append(
            f"{verb} {task} asked by {best.asking.way}: told {best.told.followed.told}, untold "
            f"{best.bare.followed.told}, n = {best.following.n}."
        )
    return said


def _read(summary: dict[str, Any]) -> list[str]:
    """The readers without the curve, which is drawn."""
    return [line for line in read(summary) if not line.startswith("  ") and "; read so far" not in line] + [
        line.partition(";")[0] for line in read(summary) if "; read so far" in line
    ]
