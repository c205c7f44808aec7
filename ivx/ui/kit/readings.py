"""Readings: one sentence under a map, made by rules from its findings alone; no mechanism is claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ivx.analyses.bench.result import CONTROL, QUERIES, RANDOM, STRENGTHS, VECTOR, Point
from ivx.analyses.effects.result import Cell
from ivx.analyses.separability.result import BASELINES, ProbeCell, Separability
from ivx.analysis.maps import Column
from ivx.charts.heatmap import signed
from ivx.charts.pairs import STRICT, Pair
from ivx.patching.roles import is_real
from ivx.stats.metrics import find
from ivx.stats.verdict import Against, Verdict

SAID = {
    "ok": "differs from 0 and from its controls",
    "control": "no better than a control",
    "zero": "not different from 0",
}
VECTORS = {
    "task": "another task’s vector",
    "random": "a random vector of its norm",
    "neutral": "an idle sentence’s vector",
    "shuffled": "another sample’s vector",
    "identity": "the token fed alone",
    "aggregation": "the last word fed alone",
}
DISTURBED = VECTORS | {
    "task": "the same in a run told another task",
    "neutral": "the same in a run told nothing",
    "shuffled": "another sample’s state",
}
Controls = Mapping[str, Against]


FEW = 6
"""Samples below which no test could find anything."""


def named_controls(direction: str) -> Mapping[str, str]:
    """What each control is called where states are put in, and where a run is disturbed."""
    return VECTORS if direction == "denoise" else DISTURBED


def reading(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    *,
    metric: str,
    against: Mapping[str, Controls],
    direction: str = "denoise",
) -> str:
    """The strongest finding with its interval and control, and the strongest cell that is none, if it is stronger."""
    pending = any(c.state == "estimate" for c in cells)
    cells = [c for c in cells if c.state != "estimate"]
    if not cells:
        return "Nothing is computed here yet: the shades are estimates." if pending else ""
    floor, unit = find(metric).floor, find(metric).unit
    found = sorted((c for c in cells if c.state == "ok"), key=lambda c: -abs(c.value))
    hatched = sorted((c for c in cells if c.state == "control"), key=lambda c: -abs(c.value))

    def control(cell: Cell) -> str:
        return nearest_control(cell, against.get(cell.patch, {}), floor=floor, direction=direction)

    if not found:
        text = "No cell moves the answer more than its controls do: no evidence here."
        if hatched:
            text += f" {_named(hatched[0], columns)} {_value(hatched[0])}, {control(hatched[0])}."
        return text
    top = found[0]
    text = (
        f"Strongest: <b>{_named(top, columns)}</b>, <b>{_value(top)}</b> {escape(unit)} "
        f"[{signed(top.low, 2)}, {signed(top.high, 2)}]; {control(top)}."
    )
    if hatched and abs(hatched[0].value) > abs(found[-1].value):
        text += f" {_named(hatched[0], columns)} moves it {_value(hatched[0])}, but {control(hatched[0])}."
    return text


def unbeaten(value: float, against: Controls, *, floor: float) -> list[str]:
    """The controls that an effect is no better than, the strongest first."""
    left = [name for name, of in against.items() if not of.is_beaten(value, floor=floor)]
    return sorted(left, key=lambda name: -against[name].mean * (1 if value >= 0 else -1))


def nearest_control(cell: Cell, against: Controls, *, floor: float, direction: str) -> str:
    """The control that comes nearest: of a cell that is no finding, among those that it does not beat."""
    if not against:
        return "no control"
    real = {name: of for name, of in against.items() if is_real(name, direction=direction)}
    left = unbeaten(cell.value, real, floor=floor) if cell.state == "control" else []
    sign = 1 if cell.value >= 0 else -1
    among = left or list(real) or list(against)
    nearest = max(among, key=lambda name: against[name].mean * sign)
    return f"{named_controls(direction)[nearest]} {signed(against[nearest].mean, 2)}"


def pair_reading(pairs: Sequence[Pair], *, unit: str, what: str) -> str:
    """How many pairs interact, how many of them beat the better one, and the strongest."""
    found = sorted((pair for pair in pairs if pair.state == "ok"), key=lambda pair: -abs(pair.value))
    if not found:
        return "No pair interacts more than its controls do: no evidence here."
    strict = sum(pair.glyph == STRICT for pair in found)
    top = found[0]
    many = f"<b>{len(found)} pairs</b> interact" if len(found) > 1 else "<b>1 pair</b> interacts"
    return (
        f"{many} beyond the controls; above the sum and the better one: {strict}. Strongest {escape(what)}: "
        f"<b>{escape(top.name)}, {signed(top.value, 2)}</b> {escape(unit)}."
    )


def split_reading(confirmed: Mapping[str, Verdict]) -> str:
    """What the pairs chosen on one half of the samples are on the other."""
    if not confirmed:
        return ""
    held = sum(found.state == "ok" for found in confirmed.values())
    return (
        f"Chosen for their size on one half of the samples and tested on the other half alone, <b>{held} of "
        f"{len(confirmed)}</b> pairs hold."
    )


def at_a_glance(checkpoint: str, cells: Sequence[Cell], probed: Sequence[ProbeCell], pairs: Sequence[Pair]) -> str:
    """Where it acts, from where on it can be read, and which layers act together: findings only, a clause each."""
    told = []
    if cells and not any(cell.state == "estimate" for cell in cells):
        acting = [cell for cell in cells if cell.state == "ok"]
        top = max(acting, key=lambda cell: abs(cell.value), default=None)
        told.append(f"acts most in <b>layer {top.layer}</b>" if top else "<b>acts nowhere</b> beyond its controls")
    if probed:
        readable = sorted(cell.layer for cell in probed if cell.state == "ok")
        onward = readable == list(range(len(probed)))[-len(readable) :]
        where = f"from <b>layer {readable[0]}</b> on" if readable and onward else f"at {len(readable)} layers"
        told.append(f"can be read {where}" if readable else "<b>cannot be read</b>")
    if pairs and not any(pair.state == "estimate" for pair in pairs):
        found = [pair for pair in pairs if pair.state == "ok"]
        top_pair = max(found, key=lambda pair: abs(pair.value), default=None)
        told.append(
            f"is least additive in <b>layers {top_pair.low} and {top_pair.high}</b>"
            if top_pair
            else "shows <b>no interaction</b> beyond its control"
        )
    if not told:
        return ""
    return f"In <b>{escape(checkpoint)}</b> it {', '.join(told[:-1])}{' and ' * (len(told) > 1)}{told[-1]}."


def bench_reading(points: Sequence[Point], alpha: float, *, on: str) -> str:
    """What the vector did at the chosen strength, and where it did most, from the numbers alone."""
    at = {(point.role, point.strength): point for point in points}
    own = at.get((VECTOR, alpha))
    if own is None:
        return ""
    none = at[VECTOR, 0.0]
    if alpha == 0:
        return f"At α = 0 nothing is moved: {own.share:.0%} [{own.low:.0%}, {own.high:.0%}]."
    others = [
        f"{name} {at[role, alpha].share:.0%}"
        for role, name in ((CONTROL, "another task’s"), (RANDOM, "a random one"))
        if (role, alpha) in at
    ]
    what = "follows on" if on == QUERIES else "names one of the answers on"
    text = (
        f"At α = {alpha:g} it {what} <b>{own.share:.0%}</b> [{own.low:.0%}, {own.high:.0%}], without a vector on "
        f"{none.share:.0%}; with {', '.join(others)}."
    )
    found = [point for point in points if point.role == VECTOR and point.state == "ok" and point.share > none.share]
    if own.n < FEW:
        return f"{text} {own.n} texts are too few for a test: give {FEW} or more."
    if not found:
        return f"{text} No strength does more than both controls: no evidence here."
    best = max(found, key=lambda point: point.share)
    last = max((point for point in points if point.role == VECTOR), key=lambda point: point.strength)
    falls = f" At {last.strength:g} it is down to {last.share:.0%}." if last.high < best.low else ""
    strengths = [point.strength for point in found]
    on_from = [s for s in STRENGTHS if s >= strengths[0]] == strengths
    where = f"from {strengths[0]:g} on" if on_from else f"at {', '.join(f'{s:g}' for s in strengths)}"
    return f"{text} Beyond both controls {where}, most at {best.strength:g}.{falls}"


def probe_reading(found: Separability, component: str, layer: int | None) -> str:
    """What the probe reaches at one layer, and what it takes to reach as much: shuffled labels, words, the token."""
    cell = next((c for c in found.cells(component) if c.layer == layer), None)
    if cell is None:
        return ""
    baselines = found.baselines()
    words, token = (baselines.get(name, 0.0) for name in BASELINES)
    also = "also " if words >= cell.accuracy.low else ""
    return (
        f"At layer {layer} a linear probe tells {len(found.tasks)} tasks apart at <b>{cell.accuracy.value:.0%}</b> "
        f"[{cell.accuracy.low:.0%}, {cell.accuracy.high:.0%}]; shuffled labels give {cell.control.value:.0%}, a guess "
        f"{found.chance:.0%}. A bag of words (dashed) {also}reaches {words:.0%}, the token’s embedding (dotted) "
        f"{token:.0%}."
    )


def read_and_act(name: str, probed: Sequence[ProbeCell], cells: Sequence[Cell]) -> str:
    """How many layers can be read, and how many of these act beyond their control."""
    cells = [cell for cell in cells if cell.state != "estimate"]
    readable = [cell for cell in probed if cell.state == "ok"]
    if not probed or not cells:
        return ""
    found = [cell for cell in cells if cell.state == "ok" and cell.layer in {probe.layer for probe in readable}]
    text = f"<b>{escape(name)}</b>: read at {len(readable)} of {len(probed)} layers"
    if readable:
        ends = [cell.selectivity.value for cell in readable]
        text += f" ({min(ends):.0%} to {max(ends):.0%})"
    if not found:
        return f"{text}; <b>none</b> acts beyond its control."
    top = max(found, key=lambda cell: abs(cell.value - (cell.control or 0.0)))
    acts = "1 acts beyond its" if len(found) == 1 else f"{len(found)} act beyond their"
    control = "" if top.control is None else f" against {signed(top.control, 2)}"
    return f"{text}; <b>{acts}</b> control, most L{top.layer}, {signed(top.value, 2)}{control}."


def _named(cell: Cell, columns: Sequence[Column]) -> str:
    label = escape(columns[cell.column].label)
    return f"L{cell.layer} {label.upper()}" if cell.site == "z" else f"L{cell.layer} at {label}"


def _value(cell: Cell) -> str:
    return signed(cell.value, 2)
