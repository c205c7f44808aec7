"""Tables of the Post-training page: means in lines, and bars of right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import streamlit as st

from ivx.analyses.compare.differences import Accuracies
from ivx.charts.numbers import signed
from ivx.patching.cells import Cell
from ivx.stats.power import room
from ivx.stats.verdict import Verdict
from ivx.ui.kit import pieces
from ivx.ui.kit.evidence import shown_p

ROW = 24
"""Height of a line where bars stand beside a map."""


class Row(NamedTuple):
    """A line of a table: a mean with its interval, what its control does, its adjusted p, and its state."""

    name: str
    value: float
    low: float
    high: float
    control: float | None
    p: float | None
    state: str
    colour: str

    @classmethod
    def of(cls, name: str, found: Cell | Verdict, colour: str) -> Row:
        """The line of what was judged."""
        return cls(name, found.value, found.low, found.high, found.control, found.p, found.state, colour)


def table(rows: Sequence[Row]) -> None:
    """Means in lines: name, mean with its interval on one axis, the number, what its control does, and its p."""
    if not rows:
        return
    ends = [0.0, *(end for row in rows for end in (row.low, row.high))]
    least, span = min(ends), (max(ends) - min(ends)) or 1.0

    def on(value: float) -> str:
        return f"{4 + 92 * (value - least) / span:.1f}%"

    lines = []
    for row in rows:
        width = f"{92 * (row.high - row.low) / span:.1f}%"
        control = "" if row.control is None else signed(row.control)
        lines.append(
            f'<tr><td>{escape(row.name)}</td><td class="wide"><div class="ivx-whisker">'
            f'<i class="zero" style="left:{on(0)}"></i>'
            f'<i class="line" style="left:{on(row.low)};width:{width};background:{row.colour}"></i>'
            f'<i class="dot" style="left:{on(row.value)};background:{row.colour}"></i></div></td>'
            f'<td class="num{"" if row.state == "ok" else " soft"}">{signed(row.value, 2)}</td>'
            f'<td class="num soft">{control}</td>'
            f'<td class="num soft">{shown_p(row.p).removeprefix("= ").replace(" ", "")}</td></tr>'
        )
    head = (
        '<tr class="soft"><td></td><td></td><td class="num">mean</td><td class="num">control</td>'
        '<td class="num" title="adjusted for all that is tested beside it">p</td></tr>'
    )
    st.html(f'<table class="ivx-stage" data-testid="ivx-stage">{head}{"".join(lines)}</table>')


def unsure(changed: Mapping[str, Cell | Verdict]) -> None:
    """What is not ruled out of the differences that are not different from 0."""
    left = [f"{name} up to ±{room((one.low, one.high)):.2f}" for name, one in changed.items() if one.state == "zero"]
    pieces.note(f"Not ruled out: {'; '.join(left)}." if left else "")


def accuracies(rows: Sequence[tuple[str, Accuracies, str]]) -> None:
    """A bar a checkpoint: right answers when told, and behind it, pale, answers of the kind that was asked for."""
    lines = []
    for name, told, colour in rows:
        kind = max(told.answer, told.kind or 0.0)
        said = "" if told.kind is None else f", of the right kind {told.kind:.0%}"
        lines.append(
            f'<tr title="{escape(name, quote=True)}: right {told.answer:.0%}{said}; untold {told.untold:.0%}"><td>'
            f'{escape(name)}</td><td class="wide"><div class="ivx-share">'
            f'<i style="width:{kind:.1%};background:{colour};opacity:.35"></i>'
            f'<i style="width:{told.answer:.1%};background:{colour}"></i><i class="at" style="left:{told.untold:.0%}">'
            f'</i></div></td><td class="num">{told.answer:.0%}</td></tr>'
        )
    st.html(f'<table class="ivx-stage" style="min-height:{ROW * 8}px">{"".join(lines)}</table>')
