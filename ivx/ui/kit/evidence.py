"""The evidence card of a cell: everything behind one number."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.texts.request import TextRequest
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.models.registry import embedded
from ivx.patching.cells import Cell
from ivx.patching.roles import is_real
from ivx.stats.metrics import find
from ivx.stats.verdict import Against
from ivx.tasks.samples import Samples
from ivx.ui.kit import checkpoints, exports, pieces, session
from ivx.ui.kit.readings import called, said_of, unbeaten
from ivx.vocabulary import CONTROL

TOP = 3
"""Tokens shown before and after."""
Row = tuple[str, float, float, float, str]


def shown_p(p: float | None) -> str:
    """An adjusted p, as it is written."""
    return "none" if p is None else "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".", 1)


def interval(low: float, high: float) -> str:
    """Both ends of a 95 % interval."""
    return f"[{signed(low, 2)}, {signed(high, 2)}]"


def card(
    result: Effects, cell: Cell, metric: str, *, live: bool, link: str, p: Palette, more: Callable[[], None]
) -> None:
    """Draw the card of a cell; details open from links under it, once nothing is `live`, and `more` beside them."""
    token, unit, colour = checkpoints.token_of(result), find(metric).unit, colour_of(cell, p)
    against = result.against(cell.site, cell.patch, metric)
    levels = [result.level("followed", site=cell.site, patch=q) or 0.0 for q in ("", cell.patch)]
    detail = result.detail(cell.site, cell.patch, metric)
    own = "this vector" if result.request.direction == "denoise" else result.request.direction
    rows = [(own, cell.value, cell.low, cell.high, colour), *controls(against, p)]
    said = said_of(cell, controlled=bool(against), floor=find(metric).floor)
    if other := find(metric).against:
        said = f"{'not different' if cell.state == 'zero' else 'different'} from {other}"
    said += _unbeaten(cell, against, metric, result.request.direction)
    written = follows(result, detail, live=live)
    told = [
        f"{escape(unit)}, {said}",
        f"95% CI {interval(cell.low, cell.high)}",
        f"adjusted p {shown_p(cell.p)}",
        counted(cell.n, cell.undefined),
        f"followed {levels[0]:.0%} → {levels[1]:.0%}",
    ]
    st.html(
        f'<div class="ivx-card{" open" * written}" data-testid="ivx-card">'
        f"{top(f'Layer {cell.layer}, {where(result, cell)}', cell.patch, result.receipt)}"
        f'<div class="row"><span class="big" style="color:{colour}">{signed(cell.value, 2)}</span>{facts(told)}</div>'
        f"<h3>Against its controls</h3>{whiskers(rows, p)}{tokens(detail, token, p)}"
        f"{spread(detail, result.samples, same_sign=cell.same_sign)}</div>"
    )
    if written:
        texts(result, cell.patch, detail)
    if not live:
        found = CodeCell(cell.site, cell.patch)
        links(result, detail, metric, token=token, link=link, cell=found, more=more)


def facts(told: Sequence[str]) -> str:
    """What stands beside the number, in soft letters, as HTML: each a few words of HTML."""
    return f'<span class="soft ivx-facts">{" ".join(f"<span>{one}</span>" for one in told)}</span>'


def where(result: Effects, cell: Cell) -> str:
    """The head or token that a cell stands at."""
    column = result.maps[cell.site][cell.column]
    if cell.site == "z":
        return f"head {column.position}"
    return f"{'source token' if result.request.kind == 'scan' else 'token'} {column.label}"


def colour_of(cell: Cell, p: Palette) -> str:
    """The colour of a cell's value: muted where it is no finding."""
    return p.muted if cell.state != "ok" else p.orange if cell.value > 0 else p.blue


def top(name: str, patch: str, receipt: Mapping[str, Any]) -> str:
    """The head of a card on a result: what must be said first, then what it is about and its address."""
    said = pieces.first(receipt)
    first = f'<div style="margin-bottom:6px">{said}</div>' if said else ""
    parts = patch.split(",")
    shown = patch if len(parts) < 3 else f"{parts[0]} … {parts[-1]}"
    code = f'<code class="soft" title="{escape(patch)}">{escape(shown)}</code>'
    return f'{first}<div class="top"><h2>{escape(name)}</h2>{code}</div>'


def _unbeaten(cell: Cell, against: Mapping[str, Against], metric: str, direction: str) -> str:
    """The controls that a cell does not beat, where that is its verdict."""
    if cell.state != "control":
        return ""
    names = unbeaten(cell.value, against, floor=find(metric).floor)
    left = [called(name, direction) for name in names if is_real(name, direction=direction)]
    return f" ({escape(', '.join(left))})" if left else ""


def controls(against: Mapping[str, Against], p: Palette) -> list[Row]:
    """A whisker for each control."""
    return [(CONTROL[name].short, of.mean, of.low, of.high, p.muted) for name, of in against.items()]


def whiskers(rows: Sequence[Row], p: Palette) -> str:
    """Values with their intervals on one axis that holds them all."""
    rows = [row for row in rows if math.isfinite(row[1])]
    reach = max((abs(v) for row in rows for v in row[1:4] if isinstance(v, float)), default=0.0) or 1.0
    return pieces.whisker(rows, p, scale=reach * 1.1)


def tokens(detail: Sequence[dict[str, Any]], token: Any, p: Palette, *, after: str = "After") -> str:
    """Top tokens before and after, as HTML."""
    return (
        '<div class="row" style="align-items:flex-start">'
        f"{pieces.bars('Before, mean share', tops(detail, 'before', token), p)}"
        f"{pieces.bars(after, tops(detail, 'after', token), p)}</div>"
    )


def spread(detail: Sequence[dict[str, Any]], asked: Samples, *, same_sign: float | None = None) -> str:
    """How the samples differ, as HTML that opens on a click: those with the largest and the smallest effect, the
    effect by answer where answers repeat, and of which queries it holds."""
    if not detail:
        return "<h3>No sample has finite logits</h3>"
    ranked = sorted(detail, key=lambda d: -d["effect"])
    most, least = (
        ", ".join(f"{escape(d['query'])} {signed(d['effect'], 1)}" for d in some[:2]) for some in (ranked, ranked[::-1])
    )
    signs = "" if same_sign is None else f"<div>{same_sign:.0%} same sign</div>"
    count = len({row["answer"] for row in detail})
    alike = f", {count} answers" if count < len(detail) else ""
    return (
        f"<details><summary>{len(detail)} samples{alike}</summary>"
        f"{signs}<div>most {most}; least {least}</div>{_answers(detail)}"
        f'<div class="soft">{escape(asked.population)}</div></details>'
    )


def counted(n: int, undefined: int) -> str:
    """How many samples a number is of."""
    return f"n = {n - undefined}" + f" ({undefined} undefined)" * bool(undefined)


MOST_ANSWERS = 6


def _answers(detail: Sequence[dict[str, Any]]) -> str:
    """The mean effect by answer where answers repeat, as HTML."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in detail:
        found[row["answer"]].append(row["effect"])
    told = sorted(found.items(), key=lambda item: -len(item[1]))
    if not told or len(told) == len(detail):
        return ""
    shown = ", ".join(
        f"{escape(answer)} {signed(sum(v) / len(v), 1)} <span class='soft'>({len(v)})</span>"
        for answer, v in told[:MOST_ANSWERS]
    )
    more = f" and {len(told) - MOST_ANSWERS} more" * (len(told) > MOST_ANSWERS)
    return f"<div>by answer, mean (samples): {shown}{more}</div>"


def tops(detail: Sequence[dict[str, Any]], when: str, token: Any) -> list[tuple[str, float, bool]]:
    """Mean share over samples of each kept top token; marked when it is some sample's answer."""
    shares: dict[str, float] = defaultdict(float)
    for row in detail:
        for i, share in row[when]:
            shares[token(i)] += share / len(detail)
    answers = {row["answer"] for row in detail}
    most = sorted(shares.items(), key=lambda item: -item[1])[:TOP]
    return [(name, share, name in answers) for name, share in most]


class CodeCell(NamedTuple):
    """A cell by its address; `site` is empty for a pair."""

    site: str
    patch: str


def links(
    result: Any,
    detail: Sequence[dict[str, Any]],
    metric: str,
    *,
    token: Any,
    link: str,
    cell: CodeCell,
    more: Callable[[], None] = lambda: None,
) -> None:
    """The links under a card, each of which opens what it names; `more` draws what stands behind them."""
    with st.container(horizontal=True, gap="small", key="ivx-links"):
        link_to(link)
        with st.popover("Python", type="tertiary"):
            st.code(python(result, metric, cell), language="python", wrap_lines=True)
        if detail:
            with st.popover(f"All {len(detail)} samples", type="tertiary"):
                st.dataframe([_row(sample, token) for sample in detail], hide_index=True, height=320, width=720)
        more()


def link_to(link: str) -> None:
    """A link that opens the address of this view."""
    with st.popover("Link", type="tertiary"):
        st.caption("This view, in any session of this server.")
        st.code(link, language=None, wrap_lines=True)


def python(result: Any, metric: str, cell: CodeCell) -> str:
    """Python that computes this one cell again."""
    request = result.request
    if request.kind == "game":
        low, high = cell.patch.split(",")
        read = f"found.interactions({metric!r})[{low}, {high}]"
    else:
        given = f"{cell.site!r}, {metric!r}" if cell.site else repr(metric)
        read = f"next(cell for cell in found.cells({given}) if cell.patch == {cell.patch!r})"
    return f"{exports.computed_by(request)}\n{read}"


def _row(sample: dict[str, Any], token: Any) -> dict[str, Any]:
    return {
        "query": sample["query"],
        "answer": sample["answer"],
        "contrast": sample["contrast"],
        "effect": round(sample["effect"], 3),
        "before": token(sample["before"][0][0]),
        "after": token(sample["after"][0][0]),
        "instruction": sample["instruction"],
    }


TOKENS = 6
"""Maximum length of a text, in tokens."""


def follows(result: Any, detail: Sequence[dict[str, Any]], *, live: bool) -> bool:
    """Whether a card ends in texts: its map is done, its model is available, and what it patches overwrites a state."""
    overwrites = getattr(result.request, "patch", "overwrite") == "overwrite"  # texts are written by addresses alone
    return overwrites and not live and not result.receipt.get("imported") and len(detail) > 1


def texts(result: Any, patch: str, detail: Sequence[dict[str, Any]]) -> None:
    """The texts of the samples with the largest and the smallest effect; asked of the worker, so they come later.

    On a checkpoint that is not embedded they wait for a click, since it may have to be loaded for them.
    """
    ranked = [row["sample"] for row in sorted(detail, key=lambda row: -row["effect"])]
    request = TextRequest.for_cell(result.request, patch, (ranked[0], ranked[-1]), tokens=TOKENS)
    job = session.job(request, compute=embedded(request.checkpoint) is not None)
    if job is None:
        if st.button("Write the text with and without the patch", type="tertiary"):
            session.start(request)
            st.rerun()
        return
    live = job.view(session.session()).live

    def look() -> None:
        now = job.view(session.session())
        if live and not now.live:
            st.rerun()  # the whole page once more, without the timer
        _draw(now)

    st.fragment(look, run_every=session.tick() if live else None)()


def _draw(now: View) -> None:
    if now.live:
        rows = '<div class="soft">being written …</div>'
    elif now.result is None:
        rows = f'<div class="soft">{escape(now.message or "not written")}</div>'
    else:
        rows = "".join(
            f'<div><span class="soft">{escape(text.query)} ({escape(text.answer)}):</span> '
            f"{_quoted(text.before)} → <b>{_quoted(text.after)}</b></div>"
            for text in now.result
        )
    told = "Greedy, of the samples where the patch does most and least; in brackets the answer"
    head = f'<h3 title="{told}">Text, before → after</h3>'
    st.html(f'<div class="ivx-card ivx-text" data-testid="ivx-text">{head}{rows}</div>')


def _quoted(text: str) -> str:
    return f"<code>{escape(text)}</code>" if text else '<span class="soft">nothing</span>'
