"""What a real family's stored runs say in plain words: each claim only as its own interval and controls allow."""

from __future__ import annotations

from collections.abc import Sequence

from ivx.analyses.compare.exchange import Change
from ivx.analyses.place import search
from ivx.analyses.place.readers import Readers
from ivx.analyses.place.result import Found, Place
from ivx.charts.numbers import signed
from ivx.patching import gate
from ivx.stats.following import Following, percent
from ivx.stats.metrics import find
from ivx.tasks.sample import Sample
from ivx.ui.kit.family import blocks

TAUGHT = {
    "readers": "Post-training taught later blocks to read the vector",
    "vector": "Post-training taught the vector that is read",
    "both": "Post-training taught both, the vector and its readers",
    "weakened": "Post-training weakened what the vector does",
}
"""A headline by what a step of the family taught."""


def headline(found: Found | None, readers: Readers | None, change: Change | None) -> str:
    """The page's title: what was taught where that is shown, else where it acts, else that nothing was found."""
    if change is not None and change.parts.taught in TAUGHT:
        told = TAUGHT[change.parts.taught]
        if change.parts.taught == "both" and change.parts.lead.state == "ok":
            more = ("the vector’s readers", "the vector")[:: 1 if change.parts.lead.value > 0 else -1]
            told = f"Post-training taught {more[0]} most, and {more[1]} too"
        if change.parts.taught == "readers" and found is not None and found.kind == "place" and blocks(readers):
            told = f"Post-training taught the vector’s readers: {blocks(readers)} read it"
        return told
    if found is None or found.kind == "none":
        return "No place was found where the instruction’s vector acts"
    if found.kind == "preference":
        return "The instruction moves a preference, and is not followed"
    return f"The instruction acts from one token on one token, most in layer {found.at.layer}"


def where(found: Found, samples: Sequence[Sample], label: str) -> str:
    """The place in half a sentence: from which token, on which, in which layers."""
    source = search.source_label(found.at.source_token, samples)
    span = f"layer {found.at.first}" if found.at.first == found.at.last else f"layers {found.at.first}–{found.at.last}"
    return f"{source}, put on “{label}” ({found.at.position}), {span}"


def acts(place: Place, found: Found | None, metric: str) -> str:
    """Under the first panel: the best layer with its controls and the share, or what would have been seen."""
    unit = find(metric).unit
    if found is None:
        return f"No pair of tokens acts beyond its controls; an effect of {place.least:.2f} would have been seen."
    best = found.best
    value = f"<b>{signed(best.value, 2)}</b> {unit} [{signed(best.low, 2)}, {signed(best.high, 2)}]"
    beyond = f"{signed(found.beyond, 2)} beyond the strongest control"
    shares = f"{percent(found.followed)} follow (untold {percent(found.untold)}, told {percent(found.told)})"
    if found.kind == "none":
        seen = f"an effect of {place.least:.2f} would have been seen"
        return f"Nearest, at layer {found.at.layer}: {value}, {beyond}, which is no finding; {seen}."
    if found.kind == "preference":
        return f"At layer {found.at.layer} {value}, {beyond}; the model does not do what it is told: {shares}."
    return f"One token, one layer ({found.at.layer}): {value}, {beyond}; {shares}."


def reads(readers: Readers | None, metric: str) -> str:
    """Under the second panel: which blocks read, and which heads of theirs most."""
    if readers is None:
        return "Nothing acts here that could be read."
    unit, said = find(metric).unit, blocks(readers)
    told = f"Put at layer {readers.layer}, <b>{signed(readers.whole, 2)}</b> {unit} arrive in all"
    if not said:
        return f"{told}; no block reads it by itself beyond its control."
    heads = sorted((one for one in readers.heads if one.state == "ok"), key=lambda one: -abs(one.step))[:3]
    named = ", ".join(f"L{one.block}h{one.head} {signed(one.step)}" for one in heads)
    rest = f" Mostly through heads {named}." if named else ""
    verb = "reads" if len(readers.blocks) == 1 else "read"
    return f"{told}: <b>{said}</b> {verb} it; no other block adds a finding.{rest}"


def asked_line(place: Place, found: Found | None) -> str:
    """Checkpoint, task, n, interval, and what follows told and untold."""
    receipt, parts = place.receipt, place.parts
    about = f"{place.request.task} against {receipt['contrast']}"
    told = f"n = {len(parts.confirming)} queries that chose nothing, mean and 95 % interval"
    if found is not None:
        follows = f"follows: {percent(found.untold)} untold, {percent(found.told)} told"
    elif (counts := receipt.get(gate.FIELD)) is not None:
        follows = Following(**counts).short()
    else:
        follows = ""
    return " · ".join(filter(None, [about, told, follows]))
