"""Answers: the rules that read a lesson's answer off its runs; no answer is known in advance.

Each takes the results by their names in the story, and uses findings alone: cells beyond their control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.pairs import PairCell
from ivx.analyses.interactions.result import Interactions
from ivx.charts.numbers import signed
from ivx.engine.address import STREAM
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.ui.kit.evidence import shown_p
from ivx.ui.kit.readings import nearest_control
from ivx.ui.lessons.guesses import NOWHERE, Ask, Bar, Truth, beside, ordered, pair_key, truth
from ivx.ui.separability.card import probe_reading

Found = Mapping[str, Any]
"""Complete results by name."""
METRIC = "contrast"
HALF = 0.5
HIGH = 0.9
"""Accuracy above which a probe reads nearly all."""
ROOM = 0.25
"""Tolerance around the better one and around the sum, as a share of the way between them."""

SHARE = Ask("choice", (("none", "nothing"), ("less", "less than half"), ("most", "at least half")))
OTHER = Ask("choice", (("none", "not at all, or away"), ("less", "less than half as far"), ("most", "at least half")))
READ = Ask("choice", (("chance", "no better than chance"), ("between", "better, under 90 %"), ("high", "above 90 %")))
WAY = Ask("choice", (("away", "yes, away from it"), ("none", "no more than its control"), ("toward", "yes, toward it")))
TOKEN = Ask("choice", (("t_inst", "the full stop"), ("keyword", "the keyword"), (NOWHERE, "neither")))
SUM = Ask(
    "choice",
    (
        ("worse", "less than the better one"),
        ("better", "about the better one"),
        ("sum", "about the sum"),
        ("more", "more than the sum"),
    ),
)


def stream(result: Effects) -> list[Cell]:
    """The cells of the stream's map."""
    return result.cells(STREAM, METRIC)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Interactions: lambda r: r.run_id})
def alone(result: Interactions) -> list[Cell]:
    """The layers of an interaction map, each alone: every verdict is a thousand resamples, so they are kept."""
    return result.singles(METRIC)


def at_first(result: Effects) -> list[Cell]:
    """The cells of the first token, layers upward."""
    return sorted((cell for cell in stream(result) if cell.column == 0), key=lambda cell: cell.layer)


def strongest(cells: Sequence[Cell]) -> Cell | None:
    """The largest finding in either direction; None where nothing beats its control."""
    return max((cell for cell in cells if cell.state == "ok"), key=lambda cell: abs(cell.value), default=None)


def acts_most(found: Found) -> Truth:
    """The layer whose copy onto the first token moves the answer most."""
    result: Effects = found["sft"]
    top = strongest(at_first(result))
    if top is None:
        return truth([NOWHERE], [], f"At the first token {_none(result)}")
    said = f"Copied at <b>layer {top.layer}</b> it moves the answer {_sentence(result, top)}.{_elsewhere(result, top)}"
    near = [str(layer) for layer in (top.layer - 1, top.layer + 1) if 0 <= layer < result.layers]
    return truth([str(top.layer)], near, said, _bars(top, "this vector"), sft=top.layer)


def never_instructed(found: Found) -> Truth:
    """How much of the instructed checkpoint's effect, beyond its control, its base has at the same layer."""
    top = strongest(at_first(found["sft"]))
    if top is None:
        return truth(["none"], [], "Nothing acts in the instructed checkpoint, so there is nothing to compare.")
    cell = at_first(found["base"])[top.layer]
    share = _excess(cell) / _excess(top)
    key = "none" if cell.state != "ok" or share <= 0 else "less" if share < HALF else "most"
    verb = "another task’s vector" if cell.state == "ok" else "no better than a control, another task’s vector"
    said = (
        f"At layer {top.layer} the base moves the answer {_value(cell)}, {verb} {signed(cell.control or 0.0, 2)}: "
        f"beyond it <b>{signed(_excess(cell), 2)}</b>, against {signed(_excess(top), 2)} in the instructed checkpoint, "
        f"<b>{share:.0%}</b>.{_elsewhere(found['base'], cell)}"
    )
    bars = [*_bars(cell, found["base"].request.checkpoint), *_bars(top, found["sft"].request.checkpoint)]
    return truth([key], ordered(SHARE, key), said, bars, sft=top.layer, base=top.layer)


def another_task(found: Found) -> Truth:
    """How far another task's vector goes at the layer where this one goes farthest."""
    top = strongest(at_first(found["sft"]))
    if top is None or top.control is None or top.control_low is None or top.control_high is None:
        return truth(["none"], [], "Nothing acts here beyond its control.")
    share = top.control / top.value
    clear = top.control_low > 0 or top.control_high < 0
    key = "none" if share <= 0 or not clear else "less" if share < HALF else "most"
    said = (
        f"At layer {top.layer} another task’s vector moves the answer <b>{signed(top.control, 2)}</b> logits "
        f"[{signed(top.control_low, 2)}, {signed(top.control_high, 2)}], <b>{share:.0%}</b> of this one’s "
        f"{signed(top.value, 2)}. The difference has an adjusted p {shown_p(top.p_control)}: what is left over is this "
        "instruction’s own."
    )
    return truth([key], ordered(OTHER, key), said, _bars(top, "this vector"), sft=top.layer)


def read_off(found: Found) -> Truth:
    """How well a linear probe tells the tasks apart, at the layer where it does best."""
    cells = found["read"].cells(STREAM)
    top = max(cells, key=lambda cell: cell.accuracy.value)
    readable = any(cell.state == "ok" for cell in cells)
    key = "chance" if not readable else "high" if top.accuracy.value > HIGH else "between"
    return truth([key], ordered(READ, key), probe_reading(found["read"], STREAM, top.layer))


def moves(found: Found) -> Truth:
    """Whether the full stop's copy moves the answer beyond its control, and which way."""
    cells = at_first(found["twin"])
    top = strongest(cells)
    if top is None:
        loudest = max(cells, key=lambda cell: abs(cell.value))
        said = f"At the first token {_none(found['twin'])}{_elsewhere(found['twin'], None)}"
        bars = _bars(loudest, f"full stop, L{loudest.layer}")
        return truth(["none"], ordered(WAY, "none"), said, bars, twin=loudest.layer)
    key = "toward" if top.value > 0 else "away"
    moved, beyond = _sentence(found["twin"], top), _elsewhere(found["twin"], top)
    said = f"Copied at layer {top.layer} it moves the answer {moved}.{beyond}"
    return truth([key], ordered(WAY, key), said, _bars(top, f"full stop, L{top.layer}"), twin=top.layer)


def taken_from(found: Found) -> Truth:
    """From which token the copy acts toward the answer, beyond its control, and farther than from the other."""
    results = {"t_inst": "twin", "keyword": "keyword"}
    tops = {name: strongest([cell for cell in at_first(found[of]) if cell.value > 0]) for name, of in results.items()}
    acting = {name: cell for name, cell in tops.items() if cell is not None}
    key = max(acting, key=lambda name: acting[name].value, default=NOWHERE)
    labels, told, bars = dict(TOKEN.options), [], []
    for name, cell in tops.items():
        if cell is None:
            told.append(f"From {labels[name]}, {_none(found[results[name]])}")
        else:
            moved = _sentence(found[results[name]], cell)
            told.append(f"From <b>{labels[name]}</b>, at layer {cell.layer}, the answer moves {moved}.")
            bars += _bars(cell, labels[name].removeprefix("the "))
    marks = {results[name]: cell.layer for name, cell in acting.items()}
    return truth([key], [], " ".join(told), bars, **marks)


def asked_pair(result: Interactions) -> PairCell:
    """The pair in question: the strongest layer alone and the one above it, or below it at the top."""
    singles = {cell.layer: cell for cell in alone(result)}
    one = max(singles.values(), key=lambda cell: (cell.state == "ok", abs(cell.value))).layer
    pair = (one, one + 1) if one + 1 in singles else (one - 1, one)
    return by_layers(result)[pair]


def by_layers(result: Interactions) -> dict[tuple[int, int], PairCell]:
    """Every pair by its layers, the earlier one first."""
    cells = {cell.patch: cell for cell in result.cells(METRIC)}
    return {(pair.low, pair.high): cells[pair.patch] for pair in result.laid(METRIC).pairs}


def together(found: Found) -> Truth:
    """What both layers give, against the better one and the sum."""
    result: Interactions = found["pairs"]
    cell = asked_pair(result)
    one, two, both = (value or 0.0 for value in (cell.single_first, cell.single_second, cell.both))
    total, better = one + two, max(one, two)
    room = abs(total - better) * ROOM
    if both > max(total, better) + room:
        key = "more"
    elif both < min(total, better) - room:
        key = "worse"
    else:
        key = "better" if abs(both - better) < abs(both - total) else "sum"
    low, high = next(pair for pair, other in by_layers(result).items() if other is cell)
    said = (
        f"Layers {low} and {high} give <b>{signed(both, 2)}</b> logits together: the better one alone "
        f"gives {signed(better, 2)}, the sum is {signed(total, 2)}. J = <b>{signed(cell.j, 2)}</b> "
        f"[{signed(cell.low, 2)}, {signed(cell.high, 2)}]; another task’s vectors {signed(cell.control_j or 0.0, 2)}."
    )
    return truth([key], ordered(SUM, key), said)


def known_before(found: Found) -> Truth:
    """The pairs whose J follows from the two alone."""
    result: Interactions = found["pairs"]
    cells = by_layers(result)
    known = {pair: cell for pair, cell in cells.items() if cell.degenerate}
    if not known:
        return truth([NOWHERE], [], "Every pair here had to be run.")
    shared = set.intersection(*(set(pair) for pair in known))
    where = f", all with <b>layer {min(shared)}</b>" if shared else ""
    reasons = sorted({cell.degenerate for cell in known.values()})
    said = f"<b>{len(known)} of {len(cells)} pairs</b> follow from the two alone{where}: {escape('; '.join(reasons))}."
    near = [key for low, high in known for key in beside(low, high, result.layers)]
    return truth([pair_key(*pair) for pair in known], near, said)


def interacts_most(found: Found) -> Truth:
    """The pair whose J is the largest finding, in either direction."""
    result: Interactions = found["pairs"]
    cells = {pair: cell for pair, cell in by_layers(result).items() if cell.state == "ok"}
    if not cells:
        return truth([NOWHERE], [], "No pair interacts more than its control does: no evidence here.")
    low, high = max(cells, key=lambda pair: abs(cells[pair].j))
    top = cells[low, high]
    less = "less" if top.j < 0 else "more"
    said = (
        f"<b>Layers {low} and {high}</b>: J = <b>{signed(top.j, 2)}</b> logits [{signed(top.low, 2)}, "
        f"{signed(top.high, 2)}], {less} than the sum of the two alone; another task’s vectors "
        f"{signed(top.control_j or 0.0, 2)}. {len(cells)} pairs are beyond their control, "
        f"{sum(cell.strict for cell in cells.values())} of them exceed both the sum and their stronger half."
    )
    return truth([pair_key(low, high)], beside(low, high, result.layers), said)


def _excess(cell: Cell) -> float:
    """What a cell does beyond its control, in its own direction."""
    return (cell.value - (cell.control or 0.0)) * (1 if cell.value >= 0 else -1)


def _value(cell: Cell) -> str:
    return f"<b>{signed(cell.value, 2)}</b> logits [{signed(cell.low, 2)}, {signed(cell.high, 2)}]"


def _sentence(result: Effects, cell: Cell) -> str:
    """A value with its interval, and the control that comes nearest to it."""
    return f"{_value(cell)}; {_nearest(result, cell)}"


def _nearest(result: Effects, cell: Cell) -> str:
    against = result.against(STREAM, cell.patch, METRIC)
    return nearest_control(cell, against, floor=find(METRIC).floor, direction="denoise")


def _none(result: Effects) -> str:
    loudest = max(at_first(result), key=lambda cell: abs(cell.value))
    return f"<b>no layer</b> moves the answer more than its controls: L{loudest.layer} {_sentence(result, loudest)}."


def _elsewhere(result: Effects, top: Cell | None) -> str:
    """The strongest finding at another token, where it is stronger."""
    rest = strongest([cell for cell in stream(result) if cell.column != 0])
    if rest is None or (top is not None and abs(rest.value) <= abs(top.value)):
        return ""
    label = escape(result.maps[STREAM][rest.column].label)
    last = ", the last token," if rest.column == len(result.maps[STREAM]) - 1 else ""
    way = "toward the answer" if rest.value > 0 else "away from the answer"
    return (
        f" The map’s strongest finding stands elsewhere: L{rest.layer} at <code>{label}</code>{last} "
        f"{signed(rest.value, 2)}, {way} ({_nearest(result, rest)})."
    )


def _bars(cell: Cell, name: str) -> list[Bar]:
    found = [(name, cell.value, cell.low, cell.high)]
    if cell.control is not None and cell.control_low is not None and cell.control_high is not None:
        found.append(("another task’s", cell.control, cell.control_low, cell.control_high))
    return found
