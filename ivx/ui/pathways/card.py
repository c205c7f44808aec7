"""What is known of one edge or head: its share under both instructions, its attention row, its link and Python."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.pathways.drawing import Drawing, name_of
from ivx.analyses.pathways.parts import Part
from ivx.analyses.pathways.result import Pathways
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.charts.row import Given, attention_row
from ivx.ui.kit import exports, pieces
from ivx.ui.kit.address import from_url
from ivx.ui.pathways.readings import edge_label, name_of_task, of_whole

NAME = re.compile(r"(\d{1,4})\.(\d{1,4})(?:@([a-z_]{1,20}(?::\d{1,5})?)(?:~([a-z_]{1,20}(?::\d{1,5})?))?)?", re.ASCII)
"""`layer.head` of a head, `layer.head@end~start` of an edge."""
SIDES = ("here", "there")
LAST = "after:1"
OTHERS = 12
"""Heads offered beside the drawn edges."""


def chosen(result: Pathways, drawn: tuple[Drawing, Drawing]) -> tuple[str, str]:
    """Side and name of the clicked edge or head, or the address bar's, or the strongest edge."""
    side = from_url("side", "here", SIDES)
    name = from_url("edge", "")
    if part_of(result, side, name) is None:
        edges = drawn[SIDES.index(side)].edges
        name = name_of(edges[0]) if edges else ""
    return side, name


def part_of(result: Pathways, side: str, name: str) -> Part | None:
    """The edge or head of a name; None where there is none such."""
    told = NAME.fullmatch(name)
    if told is None:
        return None
    layer, head = int(told[1]), int(told[2])
    if layer >= result.layers or head >= result.heads:
        return None
    if told[3] is None:
        return result.head(layer, head, run=side)
    return next((part for part in result.row(layer, head, told[3], run=side) if part.start == told[4]), None)


def show(
    result: Pathways,
    drawn: tuple[Drawing, Drawing],
    side: str,
    name: str,
    p: Palette,
    *,
    places: tuple[DeltaGenerator, DeltaGenerator],
) -> None:
    """In one place the card, in the other the head's attention row."""
    part = part_of(result, side, name)
    if part is None:
        return
    with places[0]:
        _card(result, part, side, p)
        _choice(result, drawn, side, name)
    with places[1]:
        end = part.end or LAST
        row = result.row(int(part.layer or 0), int(part.head or 0), end, run=side)
        pieces.head(
            f"Attention of L{part.layer} H{part.head}",
            f"from ‘{edge_label(result, side, None, end)}’, mean over samples",
        )
        place = {slot.key: (i, slot.label) for i, slot in enumerate(result.found.slots[side])}
        given = [Given(*place[str(one.start)], one.attention or 0.0, one.value, one.share) for one in row]
        marked = place[part.start][0] if part.start is not None else None
        text = f"Attention of layer {part.layer} head {part.head} to {len(given)} tokens"
        st.vega_lite_chart(attention_row(given, palette=p, chosen=marked, alt_text=text), theme=None, width="stretch")
        with st.expander("Link and Python"):
            _code(result, part, side, name)


def _choice(result: Pathways, drawn: tuple[Drawing, Drawing], side: str, name: str) -> None:
    """A list of the drawn edges and the strongest heads, to choose by keyboard instead of a click."""
    edges = {name_of(part): part for part in drawn[SIDES.index(side)].edges}
    heads = {f"{layer}.{head}": value for (layer, head), value in list(result.by_head(side).items())[:OTHERS]}
    options = list(dict.fromkeys([name, *edges, *heads]))

    def told(option: str) -> str:
        part = edges.get(option)
        if part is None:
            return f"L{option.replace('.', ' H', 1).partition('@')[0]}" + ("" if "@" in option else ", whole head")
        return f"L{part.layer} H{part.head}: {edge_label(result, side, part.start, part.end)}, {signed(part.value, 2)}"

    key = f"edge-list-{side}"

    def picked() -> None:
        st.session_state["edge"] = st.session_state[key]

    st.session_state[key] = name
    st.selectbox("Edge or head", options, key=key, format_func=told, on_change=picked)


def _card(result: Pathways, part: Part, side: str, p: Palette) -> None:
    kind, tokens = (
        ("head", "all tokens") if part.end is None else ("edge", edge_label(result, side, part.start, part.end))
    )
    colour = p.orange if part.value > 0 else p.blue
    address = f"z.{part.layer}.{part.head}" + ("@-1" if part.end in (None, LAST) else "")
    rows = [_whisker("here", result, _like(result, part, "here", side), p)]
    rows.append(_whisker("there", result, _like(result, part, "there", side), p))
    reach = max(abs(v) for row in rows for v in row[1:4]) or 1.0
    spread = _spread(part)
    attention = "" if part.attention is None else f" · attention {part.attention:.0%}"
    extra = ""
    if part.end is not None:
        whole = result.head(int(part.layer or 0), int(part.head or 0), run=side)
        extra = (
            f"<h3>The whole head, all tokens</h3><div><b>{signed(whole.value, 2)}</b> {escape(_spread(whole))}, "
            f"{of_whole(result, whole.share)}</div>"
        )
    alike = "; its own start there" if part.start and part.start.startswith("instruction:") else ""
    st.html(
        '<div class="ivx-card" data-testid="ivx-card">'
        f'<div class="top"><h2>L{part.layer} H{part.head}: {escape(tokens)}</h2>'
        f'<code class="soft">{address}</code></div>'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(part.value, 2)}</span>'
        f'<span class="soft">logits, {of_whole(result, part.share)} · {escape(spread or "no interval")}'
        f"{attention} · n = {len(result.samples.rows)}</span></div>"
        f"<h3>This {kind} under each instruction{alike}</h3>{pieces.whisker(rows, p, scale=reach * 1.1)}{extra}"
        f'<h3>In the real model</h3><div><a href="effects?{escape(_effects(result, part), quote=True)}" target="_self">'
        f"Patch L{part.layer} H{part.head} at the answer position</a> <span class='soft'>on Effects</span></div></div>"
    )


def _effects(result: Pathways, part: Part) -> str:
    asked = result.request
    return urlencode({"checkpoint": asked.checkpoint, "task": asked.task, "cell": f"z.{part.layer}.{part.head}@-1~-1"})


def _like(result: Pathways, part: Part, run: str, side: str) -> Part | None:
    """The same edge or head in a run; tokens of another wording's instruction are no like."""
    if run == side or part.end is None:
        return part if run == side else result.head(int(part.layer or 0), int(part.head or 0), run=run)
    return part_of(result, run, name_of(part))


def _whisker(run: str, result: Pathways, part: Part | None, p: Palette) -> tuple[str, float, float, float, str]:
    name = name_of_task(result, run)
    if part is None:
        return name, 0.0, 0.0, 0.0, p.muted
    low, high = (part.value if end is None else end for end in (part.low, part.high))
    return name, part.value, low, high, p.orange if part.value > 0 else p.blue


def _spread(part: Part) -> str:
    return "" if part.low is None or part.high is None else f"95% CI [{signed(part.low, 2)}, {signed(part.high, 2)}]"


def _code(result: Pathways, part: Part, side: str, name: str) -> None:
    read = (
        f"found.head({part.layer}, {part.head}, run={side!r})"
        if part.end is None
        else f"found.row({part.layer}, {part.head}, {part.end!r}, run={side!r})"
    )
    st.code(f"{exports.computed_by(result.request)}\n{read}", language="python", wrap_lines=True)
    st.code(
        "pathways?" + urlencode({**st.query_params.to_dict(), "side": side, "edge": name}),
        language=None,
        wrap_lines=True,
    )
