"""The evidence card of a pair: each alone, their sum, both together, J beside its own control, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from ivx import vocabulary
from ivx.analyses.game.result import Game
from ivx.analyses.interactions.pairs import PairCell
from ivx.analyses.interactions.result import Interactions
from ivx.charts.numbers import signed
from ivx.charts.pairs import STRICT, Pair
from ivx.charts.palette import Palette
from ivx.stats.metrics import find
from ivx.stats.power import unable
from ivx.stats.verdict import Verdict
from ivx.ui.kit import checkpoints, evidence, pieces
from ivx.ui.kit.evidence import controls, interval, shown_p, tokens, top, whiskers
from ivx.ui.kit.readings import said_of

CONTROL = "another task’s"
BENT = {
    True: " Each pushes the same way alone and beside the other, so a monotone transform of this metric removes J.",
    False: " No monotone transform of this metric removes J.",
}
PART = {"restored": "J°", "lost": "lost"}
PAPER = "A t-test of “both exceed the sum”, yes or no by sample, against 50.0: it passes whatever the data are."


def card(result: Interactions | Game, pair: Pair, metric: str, *, live: bool, link: str, p: Palette) -> None:
    """Draw the card of a pair; details open from links under it, once nothing is `live`."""
    if isinstance(result, Game):
        _of_game(result, pair, metric, p)
        detail = []
    else:
        cell = next(c for c in result.cells(metric) if c.patch == pair.patch)
        detail = result.detail(pair.patch, metric)
        texts = evidence.follows(result, detail, live=live)
        _of_pair(result, pair, cell, metric, detail, p, texts=texts)
        if texts:
            evidence.texts(result, pair.patch, detail)
    if not live:
        found = evidence.CodeCell("", pair.patch)
        evidence.links(result, detail, metric, token=checkpoints.token_of(result), link=link, cell=found)


def _of_pair(
    result: Interactions, pair: Pair, cell: PairCell, metric: str, detail: list[dict], p: Palette, *, texts: bool
) -> None:
    unit, token = find(metric).unit, checkpoints.token_of(result)
    names = [result.players[i].label for i in (pair.low, pair.high)]
    one, two, both = (value or 0.0 for value in (cell.single_first, cell.single_second, cell.both))
    named = [(names[0], one), (names[1], two), ("sum", one + two), ("both", both)]
    values = [(name, v, p.faint if name == "sum" else p.diverging[6 if v >= 0 else 2]) for name, v in named]
    strict = " It exceeds both the sum and its stronger half." if cell.strict else ""
    bent = "" if not result.request.bends(metric) or cell.removable is None else BENT[cell.removable]
    harmful = " Both push the answer away when alone." if cell.signs == "--" else ""
    if cell.degenerate:
        reason = escape(cell.degenerate)
        said = f"{reason[:1].upper()}{reason[1:]}: J follows from the two alone, and was not run."
        beside = ""
    else:
        verdict = said_of(cell, controlled=bool(result.controls), floor=find(metric).floor)
        said = (
            f"J = <b>{signed(cell.j, 2)}</b> {escape(unit)} {interval(cell.low, cell.high)}, adjusted p "
            f"{shown_p(cell.p)}: {verdict}; {signed(cell.gain or 0.0, 2)} over the better one."
            f"{strict}{harmful}{bent}"
        )
        colour = p.muted if cell.state != "ok" else p.orange if cell.j > 0 else p.blue
        rows = [("J", cell.j, cell.low, cell.high, colour), *controls(result.against(metric)[cell.patch], p)]
        beside = f"<h3>J against its controls</h3>{whiskers(rows, p)}"
        if "task" not in result.controls:
            beside += '<div class="soft">This task has no other task beside it to compare with.</div>'
        beside += _split(result, cell, metric, p)
        paper = result.published_test(metric)[cell.patch]
        beside += f'<div class="soft" title="{PAPER}">The paper’s test: p {shown_p(paper)}, whatever the data.</div>'
    levels = [result.level("followed", patch=patch) or 0.0 for patch in ("", cell.patch)]
    st.html(
        f'<div class="ivx-card{" open" * texts}" data-testid="ivx-card">'
        f"{top(f'{names[0]} and {names[1]}', cell.patch, result.receipt)}"
        f'{pieces.signed_bars(values)}<div style="margin-top:8px">{said}</div>{beside}'
        f'<div class="soft" style="margin-top:6px">{evidence.counted(cell.n, cell.undefined)} · followed '
        f"{levels[0]:.0%} → {levels[1]:.0%}</div>"
        f"{tokens(detail, token, p, after='After both')}"
        f"{evidence.spread(detail, result.samples, same_sign=cell.same_sign)}</div>"
    )


def _split(result: Interactions, cell: PairCell, metric: str, p: Palette) -> str:
    """The two parts of the pair's J, each beside another task's; nothing where they were not asked for."""
    pair = next((pair for pair in result.parts(metric) if pair.patch == cell.patch), None)
    if pair is None:
        return ""
    rows = []
    for part, name in PART.items():
        found = pair.part(part)
        colour = p.muted if found.state != "ok" else p.orange if found.value > 0 else p.blue
        rows.append((name, found.value, found.low, found.high, colour))
        if found.control is not None and found.control_low is not None and found.control_high is not None:
            rows.append((f"{name}, other task", found.control, found.control_low, found.control_high, p.muted))
    tested = "; ".join(
        f"{name} adjusted p {shown_p(found.p)}, {said_of(found, controlled=bool(result.controls))}"
        for part, name in PART.items()
        for found in [pair.part(part)]
    )
    return f'<h3>J = J° + lost</h3>{whiskers(rows, p)}<div class="soft">{tested}.</div>'


def _of_game(result: Game, pair: Pair, metric: str, p: Palette) -> None:
    found = result.interactions(metric)[pair.low, pair.high]
    alone = result.shapley(metric)
    rows = [(result.names[i], alone[i].value, alone[i].low, alone[i].high, p.muted) for i in (pair.low, pair.high)]
    colour = p.muted if found.state != "ok" else p.orange if found.value > 0 else p.blue
    both = f"{result.names[pair.low]} and {result.names[pair.high]}"
    beside = [("together", found.value, found.low, found.high, colour)]
    if found.control is not None and found.control_low is not None and found.control_high is not None:
        beside.append((CONTROL, found.control, found.control_low, found.control_high, p.muted))
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card">{top(both, "", result.receipt)}'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(found.value, 2)}</span><span class="soft">'
        f"{escape(find(metric).unit)}, {said_of(found, controlled=found.control is not None)} · "
        f"95% CI {interval(found.low, found.high)} · "
        f"adjusted p {shown_p(found.p)} · n = {len(result.samples.rows)}, {found.same_sign:.0%} same sign</span></div>"
        f"<h3>Against its control</h3>{whiskers(beside, p)}"
        f"<h3>Shapley value of each</h3>{whiskers(rows, p)}"
        "<h3>Additivity of the whole game</h3>"
        f"<div>R² = {result.additivity(metric):.2f}; 1 would be linear.</div></div>"
    )


def pair_reading(pairs: Sequence[Pair], *, unit: str, n: int, controlled: bool = True, alone: bool = True) -> str:
    """How many pairs interact, which way, and the strongest; with `alone`, how many beat the better one, too."""
    found = sorted((pair for pair in pairs if pair.state == "ok"), key=lambda pair: -abs(pair.value))
    if not found:
        beyond = " more than its controls do" if controlled else ""
        lacking = unable(n, cells=max(1, len(pairs)))
        return f"No pair interacts{beyond}: no evidence here{', and ' * bool(lacking)}{lacking}."
    strict = sum(pair.glyph == STRICT for pair in found)
    top = found[0]
    many = f"<b>{len(found)} pairs</b> interact" if len(found) > 1 else "<b>1 pair</b> interacts"
    less = sum(pair.value < 0 for pair in found)
    beyond = " beyond the controls" if controlled else ", no control was run"
    exceed = f"{strict} exceed" if strict > 1 else "one exceeds" if strict else "none exceeds"
    above = f"; {exceed} both the sum and the stronger half" if alone else ""
    ways = {"more": len(found) - less, "less": less}
    told = " and ".join(f"{count} {way}" for way, count in ways.items() if count and count < len(found))
    told = told or f"{'all ' * (len(found) > 1)}{'less' if less else 'more'}"
    return (
        f"{many}{beyond}, {told} together than apart{above}. Strongest: <b>{escape(top.name)}, "
        f"{signed(top.value, 2)}</b> {escape(unit)}."
    )


def split_reading(confirmed: Mapping[str, Verdict]) -> str:
    """How many of the pairs chosen on one half of the samples hold on the other."""
    if not confirmed:
        return ""
    held = sum(found.state == "ok" for found in confirmed.values())
    return (
        f"Chosen for their size on one half of the samples and tested on the other half alone, <b>{held} of "
        f"{len(confirmed)}</b> pairs hold."
    )


def show(result: Interactions, metric: str) -> None:
    """All triples that were run, the largest first, and how many of them are findings."""
    cells, against = result.triples(metric), result.against(metric)
    ran = sorted((c for c in cells if not c.degenerate), key=lambda c: -abs(c.j))
    label = {player.address: player.label for player in result.players}
    pieces.head("Three together", "J(a, b, c) = f(abc) − f(ab) − f(ac) − f(bc) + f(a) + f(b) + f(c)")
    found = [c for c in ran if c.state == "ok"]
    top = (
        f" Strongest: <b>{', '.join(label[a] for a in found[0].players)}, {signed(found[0].j, 2)}</b>." if found else ""
    )
    free = len(cells) - len(ran)
    pieces.reading(
        f"<b>{len(found)} of {len(ran)}</b> triples interact beyond their pairs and beyond the controls.{top}"
        + (f" {free} more follow from smaller sets and were not run." if free else ""),
        result.receipt,
    )
    st.dataframe(
        [
            {
                "players": ", ".join(label[a] for a in cell.players),
                "J": round(cell.j, 3),
                "95% CI": interval(cell.low, cell.high),
                "adjusted p": shown_p(cell.p).removeprefix("= "),
                **{
                    f"J, {vocabulary.CONTROL[name].short}": round(of.mean, 3)
                    for name, of in against[cell.patch].items()
                },
                "verdict": said_of(cell, controlled=bool(result.controls)),
                "f(abc)": round(cell.together, 3),
                "same sign": f"{cell.same_sign:.0%}",
            }
            for cell in ran
        ],
        hide_index=True,
        height=min(320, 38 + 35 * len(ran)),
    )
