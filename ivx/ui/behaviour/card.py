"""The card of one task in one way of asking: its numbers, what is written instead, every text, and where to go on."""

from __future__ import annotations

from html import escape

import streamlit as st

from ivx.analyses.behaviour.result import Behaviour, BehaviourCell, Wrote
from ivx.charts.palette import Palette
from ivx.charts.ways import RECOMMENDED
from ivx.tasks import spelling
from ivx.tasks.way import Way
from ivx.ui.behaviour.readings import verdict
from ivx.ui.kit import asking, exports, following, pairs, pieces, session


def card(result: Behaviour, task: str, way: str, *, link: str, p: Palette) -> None:
    """Draw the card of a cell."""
    asked = result.asking(task, way)
    cell = result.cells.get((task, way))
    if cell is None:
        said = asked.refused or "not asked yet"
        pieces.refusal(f"{task} by {way}", said, "Choose another way of asking, or mend that.")
        return
    told = cell.told.followed
    colour = p.orange if cell.follows else p.muted
    best = f" {RECOMMENDED} recommended" if result.recommended(task) == way else ""
    st.html(
        '<div class="ivx-card open" data-testid="ivx-card">'
        f'<div class="top"><h2>{escape(task)} by {way}</h2><span class="soft">{best}</span></div>'
        f'<div class="row"><span class="big" style="color:{colour}">{told.value:.0%}</span>'
        f'<span class="soft">{escape(verdict(cell))} · n = {asked.samples}</span></div>'
        f"{_numbers(cell)}{_instead('Told, it writes instead', cell.told, asked.samples, p)}"
        f"{_instead('Untold, it writes', cell.bare, asked.samples, p)}</div>"
    )
    _texts(result, task, way)
    _onward(result, task, way, link=link)
    pieces.note(f"The answer is read {spelling.words(asked.spelling)}.")
    for note in asked.notes:
        pieces.note(note)


def _numbers(cell: BehaviourCell) -> str:
    """Told beside untold, as an HTML table."""
    rows = [
        ("begins with the whole answer", *(one.followed.told for one in (cell.told, cell.bare))),
        ("and with none of the longer options", *(one.exact.told for one in (cell.told, cell.bare))),
        ("prefers the answer to the contrast", *(one.preferred.told for one in (cell.told, cell.bare))),
        ("median rank of its first token", *(f"{one.rank:,.0f}" for one in (cell.told, cell.bare))),
    ]
    lines = "".join(
        f'<tr><td>{name}</td><td class="num">{told}</td><td class="num">{bare}</td></tr>' for name, told, bare in rows
    )
    heads = '<tr><td></td><td class="num">told</td><td class="num">untold</td></tr>'
    return f"<h3>Shares with 95% intervals</h3><table>{heads}{lines}</table>"


def _instead(heading: str, wrote: Wrote, n: int, p: Palette) -> str:
    rows = [(text or "nothing", count / n, False) for text, count in wrote.instead]
    return pieces.bars(heading, rows, p) if rows else ""


def _texts(result: Behaviour, task: str, way: str) -> None:
    """Every text of the cell, told and untold side by side."""
    told, bare = (result.texts(task, way, told=kind).to_pylist() for kind in (True, False))
    rows = [
        {
            "query": one["query"],
            "answer": one["answer"],
            "told": one["wrote"],
            "✓": one["followed"],
            "untold": two["wrote"],
        }
        for one, two in zip(told, bare, strict=True)
    ]
    st.dataframe(rows, hide_index=True, height=230, width="stretch")
    with st.popover("One prompt, told and untold", type="tertiary"):
        for name, rows_of in (("Told", told), ("Untold", bare)):
            st.caption(name)
            st.code(rows_of[0]["prompt"], language=None, wrap_lines=True)


def _onward(result: Behaviour, task: str, way: str, *, link: str) -> None:
    """Take this way along to the maps, a link to this cell, and the Python that asks for it again."""
    one, two, three = st.columns([1.5, 0.7, 0.8], gap="small")
    told = asking.chosen_by(result.request.way(way))
    one.button(
        "Ask so on every page",
        help="Sets how the task is asked on all pages of maps.",
        on_click=lambda: following.choose(asking.INITIAL | told),
    )
    where = pairs.control_of(task, result.request.tasks, result.request.checkpoint)
    if where and one.button(
        "Effects, asked so ›",
        type="tertiary",
        on_click=lambda: following.view(result.request.checkpoint, where, told),
    ):
        session.go("effects")
    with two.popover("Link", type="tertiary"):
        st.caption("This cell, in any session of this server.")
        st.code(link, language=None, wrap_lines=True)
    with three.popover("Python", type="tertiary"):
        st.code(python(result, task, way), language="python", wrap_lines=True)


def python(result: Behaviour, task: str, way: str) -> str:
    """Python that asks for one cell again, and the fields by which every analysis asks in its way."""
    of = result.request.way(way)
    told, usual = asking.fields_of(of), asking.fields_of(Way())
    fields = "".join(f", {name}={value!r}" for name, value in told.items() if value != usual[name])
    position = ', position="last"' if of.demonstrations else ""
    return (
        f"{exports.computed_by(result.request)}\nfound.cells[{task!r}, {way!r}]\n"
        f"ivx.effects({result.request.checkpoint!r}, {task!r}{fields}{position})"
    )
