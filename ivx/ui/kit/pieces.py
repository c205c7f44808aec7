"""The pieces every page is built of: title, prompt chips, panel heads, legend, trust strip, cards.

All text that could come from a user, a checkpoint or a file passes through `html.escape` here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from html import escape
from types import MappingProxyType
from typing import Any

import streamlit as st

from ivx.charts.numbers import signed
from ivx.charts.palette import Palette, palette
from ivx.patching import gate
from ivx.stats.metrics import PRIMARY, find
from ivx.ui.kit import address, glossary, present

MARKDOWN = re.compile(r"[!-/:-@\[-`{-~]")
"""The characters that Markdown may give a meaning, and takes plainly behind a backslash."""
TITLED = "ivx.titled"
"""Session key: whether the page has its heading."""
HALF_PRECISION = "half precision"
"""The doctor's check that tells what half-precision arithmetic costs; the doctor itself would bring torch along."""

WEIGHTS = ("merged", "quantisation")
"""What a receipt may say of how a checkpoint's weights were made."""


def theme() -> Palette:
    """The palette of the theme the browser shows; its colours are set as CSS variables for the pieces below."""
    p = palette(st.context.theme.type or "light")
    names = ("ink", "muted", "faint", "line", "background", "card", "nothing", "blue", "orange", "tick")
    st.html("<style>:root{" + "".join(f"--ivx-{name}:{getattr(p, name)};" for name in names) + "}</style>")
    return replace(p, letters=present.LETTERS) if address.presenting() else p


def title(question: str, lede: str) -> None:
    """The page's question, the way into presenting it, and one sentence whose terms are dotted.

    `lede` is ivx's own text and may hold <b>.
    """
    present.way_in()
    _heading(question, lede)


def _heading(question: str, lede: str) -> None:
    st.session_state[TITLED] = True
    st.html(f'<h1 class="ivx-q">{escape(question)}</h1><div class="ivx-lede">{glossary.marked(lede)}</div>')


def head(name: str, what: str, *, href: str = "", more: str = "") -> None:
    """A panel’s title, which may lead to its own page, and on the right what it measures, in `more` words on hover."""
    shown = escape(name)
    if href:
        shown = (
            f'<a href="{escape(address.onward(href), quote=True)}" target="_self" title="Open its page">{shown} ›</a>'
        )
    hover = escape(more or what, quote=True)
    st.html(
        f'<div class="ivx-head"><h2 class="name">{shown}</h2>'
        f'<span class="what" title="{hover}">{escape(what)}</span></div>'
    )


def reading(text: str, receipt: Mapping[str, Any] = MappingProxyType({})) -> None:
    """One or two sentences under a panel; ivx's own text, may hold <b>, with everything else escaped by its maker.

    Its terms are dotted.

    `receipt` is that of the result that they are about: where its instruction is not followed, they begin with that.
    """
    st.html(f'<div class="ivx-reading">{first(receipt) if text else ""}{glossary.marked(text)}</div>')


def first(receipt: Mapping[str, Any]) -> str:
    """What a sentence or a card on a result begins with where its instruction is not followed, as HTML; else empty."""
    said = " ".join(filter(None, [gate.short(receipt), gate.small(receipt)]))
    return f"<b>{escape(said)}</b> " if said else ""


def note(text: str, *, more: str = "") -> None:
    """A caption that may hold a user's text, with `more` on hover: Streamlit's own parses Markdown and would fetch an
    image that it names."""
    hover = f' title="{escape(more, quote=True)}"' if more else ""
    st.html(f'<div class="ivx-note"{hover}>{escape(text)}</div>')


def plain(text: str) -> str:
    """A user's text for the label of a button, which Streamlit reads as Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", text)


def secondary(metric: str) -> None:
    """Mark a view in another metric than the primary one."""
    if metric != PRIMARY:
        note(
            f"A secondary view: the primary one is in {find(PRIMARY).label}. Every p is adjusted over what is shown "
            "here, not over all metrics that could be chosen."
        )


def chips(
    source: Sequence[str], taken: int, target: Sequence[str], first: int, *, answer: str, contrast: str, tag: str
) -> None:
    """The prompts as tokens: the source token outlined orange, the first patched one outlined ink; −1 outlines none."""

    def line(tokens: Sequence[str], marked: int, kind: str) -> str:
        return "".join(
            f'<span class="ivx-chip{" " + kind if i == marked else ""}">{escape(token)}</span>'
            for i, token in enumerate(tokens)
        )

    told = f'<span class="lead">source</span>{line(source, taken, "t")}' if source else ""
    st.html(
        f'<div class="ivx-chips">{told}'
        f'<span class="tag">{escape(tag)}</span><span class="lead">→ target</span>{line(target, first, "p")}'
        f'<span class="lead">answer <b>{escape(answer)}</b>, contrast {escape(contrast)}</span></div>'
    )


def legend(
    p: Palette,
    scale: float,
    unit: str,
    *,
    pending: bool = False,
    ends: tuple[str, str] = ("away", "toward the answer"),
    glyphs: Mapping[str, str] = MappingProxyType({}),
    states: Collection[str] = ("control", "zero"),
) -> None:
    """The colour scale, once for all maps of a page that share it, and what the other marks mean; ivx's own text.

    `states` are those of the cells that are shown: of what does not occur nothing is said.
    """
    ramp = f"linear-gradient(to right,{','.join(p.diverging)})"
    unbeaten = glossary.marked("no better than a control")
    hatch = f"repeating-linear-gradient(115deg,{p.diverging[5]} 0 3px,{p.ink} 3px 4px)"
    st.html(
        '<div class="ivx-legend">'
        f'<span>−{scale:g} {ends[0]}<span class="ramp" style="background:{ramp}"></span>'
        f"{ends[1]} +{scale:g}, {unit}</span>"
        + "".join(f"<span>{glyph} {meaning}</span>" for glyph, meaning in glyphs.items())
        + f'<span><span class="box" style="background:{hatch}"></span>{unbeaten}</span>' * ("control" in states)
        + f'<span><span class="box" style="background:{p.nothing}"></span>not different from 0</span>'
        * ("zero" in states)
        + ("<span><b>⁙</b> estimate, exact value pending</span></div>" if pending else "</div>")
    )


def deviation(value: float) -> str:
    """A check's deviation: one digit, and plainly 0 where there is none."""
    return f"{value:.0e}" if value else "0"


def trust(receipt: dict[str, Any], *, rows: str, more: Sequence[dict[str, Any]] = ()) -> None:
    """How many checks passed on this very checkpoint, which open on a click with what each measured; `more` are of the
    result."""
    passed = [check for check in (*more, *receipt["checks"]) if check["passed"]]
    largest = max((check["deviation"] for check in passed if check["deviation"] is not None), default=None)
    every = "".join(
        f'<div title="{escape(check["detail"], quote=True)}"><span class="tick">✓</span> {escape(check["name"])}'
        + _measured(check["deviation"])
        + "</div>"
        for check in passed
    )
    ticks = (
        f'<details><summary><span class="tick">✓</span> {len(passed)} checks passed'
        f"{_measured(largest, named=True)}</summary>{every}</details>"
    )
    if receipt.get("imported"):
        ticks = f"<span><b>imported</b>, not computed here; its maker says:</span>{ticks}"
    run = f"<span>run <code>{escape(receipt['run'])}</code></span>" if "run" in receipt else ""
    told = {key: receipt.get("checkpoint", {}).get(key) for key in WEIGHTS} | receipt
    how = escape(", ".join(told[key] for key in (*WEIGHTS, "dtype", "device", "weights", "how") if told.get(key)))
    st.html(f'<div class="ivx-trust">{ticks}<span>{how}</span><span>{escape(rows)}</span>{run}</div>')


def _measured(largest: float | None, *, named: bool = False) -> str:
    """What a check measured, as HTML; `named` says what the number is."""
    if largest is None:
        return ""
    return f" ({'largest difference ' * named}<code>{deviation(largest)}</code>)"


def distrust(*receipts: Mapping[str, Any]) -> None:
    """Bars over the page, each once: every failed check, what half precision costs, and that the instruction is not
    followed."""
    bars = {"ivx-bar": list[str](), "ivx-gate": list[str]()}
    for receipt in receipts:
        for check in receipt["checks"]:
            if not check["passed"] or check["name"] == HALF_PRECISION:
                bars["ivx-bar"].append(f"{check['name']}: {check['detail']}")
        bars["ivx-gate"] += [gate.sentence(receipt), gate.small(receipt)]
    for kind, told in bars.items():
        for said in filter(None, dict.fromkeys(told)):
            st.html(f'<div class="{kind}" data-testid="{kind}">{escape(said)}</div>')


def refusal(heading: str, message: str, todo: str) -> None:
    """A card in the place of a picture: what is missing, and what to do. A page that has no heading yet ends here, and
    has this one."""
    top = ""
    if st.session_state.get(TITLED, True):
        top = f'<div class="top"><h2>{escape(heading)}</h2></div>'
    else:
        _heading(heading, "")  # without a way to present it, which the page's own title may bring
    st.html(f'<div class="ivx-card">{top}<p>{escape(message)}</p><h3>What to do</h3><div>{escape(todo)}</div></div>')


def progress(done: int, total: int) -> None:
    """A thin bar."""
    share = done / total if total else 0
    bar = f'<div style="width:{share:.1%}"></div>'
    st.html(f'<div class="ivx-progress" role="progressbar" aria-valuenow="{share:.0%}">{bar}</div>')


def whisker(rows: Sequence[tuple[str, float, float, float, str]], p: Palette, *, scale: float) -> str:
    """Values with their intervals on one axis, as HTML rows: (name, value, low, high, colour)."""

    def at(value: float) -> float:
        return 50 + 46 * max(-1.0, min(1.0, value / scale))

    lines = []
    for name, value, low, high, colour in rows:
        lines.append(
            f'<tr title="95% CI [{signed(low, 2)}, {signed(high, 2)}]"><td style="width:30%;white-space:nowrap">'
            f'{escape(name)}</td><td><div class="ivx-whisker"><i class="zero"></i>'
            f'<i class="line" style="left:{at(low):.1f}%;width:{at(high) - at(low):.1f}%;background:{colour}"></i>'
            f'<i class="dot" style="left:{at(value):.1f}%;background:{colour}"></i></div></td>'
            f'<td class="num">{signed(value, 2)}</td></tr>'
        )
    return f"<table>{''.join(lines)}</table>"


def signed_bars(rows: Sequence[tuple[str, float | None, str]], *, least: float = 0.0) -> str:
    """Signed values as bars from one 0, as HTML rows: (name, value, colour); a question mark where there is none.

    The scale ends no lower than `least`.
    """
    reach = max([least, *(abs(value) for _, value, _ in rows if value is not None)]) or 1.0
    lines = "".join(
        f'<tr><td style="width:34%">{escape(name)}</td><td><div class="ivx-signed">'
        + ("" if value is None else _signed_bar(value / reach, colour))
        + f'</div></td><td class="num">{"?" if value is None else signed(value, 2)}</td></tr>'
        for name, value, colour in rows
    )
    return f"<table>{lines}</table>"


def _signed_bar(share: float, colour: str) -> str:
    side = "left" if share >= 0 else "right"
    return f'<i style="{side}:50%;width:{46 * abs(share):.1f}%;background:{colour}"></i>'


def series(colours: Sequence[tuple[str, str]], marks: Sequence[str]) -> None:
    """What the colours of a chart stand for, (name, colour), and its marks; ivx's own text but for the names."""
    named = "".join(
        f'<span><span class="box" style="background:{colour};border-radius:50%"></span>{escape(name)}</span>'
        for name, colour in colours
    )
    st.html(f'<div class="ivx-legend">{named}{"".join(f"<span>{mark}</span>" for mark in marks)}</div>')


def bars(heading: str, rows: Sequence[tuple[str, float, bool]], p: Palette) -> str:
    """Top tokens with their shares, as HTML: (token, share, whether it is the answer); the longest bar is the first."""
    longest = max((share for _, share, _ in rows), default=1.0) or 1.0
    lines = "".join(
        f'<tr><td style="width:34%"><code>{escape(token)}</code></td><td style="width:45%">'
        f'<span class="bar" style="width:{share / longest:.0%};'
        f'background:{p.orange if answer else p.faint}"></span></td>'
        f'<td class="num">{share:.0%}</td></tr>'
        for token, share, answer in rows
    )
    return f"<div style='flex:1;min-width:0'><h3>{escape(heading)}</h3><table>{lines}</table></div>"
