"""The lesson of the planted checkpoints: their circuits are known, so it is the methods that are examined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import streamlit as st

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.transfer.request import TransferRequest
from ivx.analyses.transfer.result import Transfer
from ivx.charts.numbers import signed
from ivx.charts.transfer import transfer_chart
from ivx.engine.address import STREAM
from ivx.request import BaseRequest
from ivx.ui.kit import pieces
from ivx.ui.lessons.guesses import NOWHERE, Ask, Truth, ordered, truth
from ivx.ui.lessons.scenes import HIDDEN, Maps, Panel, Scene, Showing
from ivx.ui.lessons.story import READ_A_MAP, Step, Story, link

PATH, AND, HEADS = "planted-path", "planted-and", "planted-heads"
TASK = "thing/colour"
SHAPE, WEIGHT = "thing/shape", "thing/weight"
SAMPLES = 12
LEAST = 0.05
"""Logits, and shares, below which there is nothing."""
BLOCKS = Ask("layer")
MISSED = Ask("choice", (("task", "the one that reads the instruction"), ("query", "the one that reads the query")))
CARRIES = Ask("choice", (("none", "nothing"), ("some", "about half"), ("most", "nearly all")))


def requests() -> Mapping[str, BaseRequest]:
    """The runs, by the names of their results."""
    return {
        "path": EffectsRequest(PATH, TASK, sites=(STREAM,), samples=SAMPLES),
        "ways": PathwaysRequest(AND, TASK, samples=SAMPLES, paths=0, ablation="none"),
        "heads": EffectsRequest(AND, TASK, sites=("z",), samples=SAMPLES, position="last"),
        "carried": TransferRequest(HEADS, (TASK, "thing/size", SHAPE, WEIGHT), samples=SAMPLES, heads=3),
    }


def last_layer(found: Mapping[str, Any]) -> Truth:
    """The last layer whose copy onto the first token moves the answer."""
    result: Effects = found["path"]
    acting = [cell for cell in result.cells(STREAM) if cell.column == 0 and abs(cell.value) > LEAST]
    if not acting:
        return truth([NOWHERE], [], "No layer’s copy moves the answer.")
    top = max(cell.layer for cell in acting)
    said = (
        f"Up to <b>layer {top}</b> the copy moves the answer {signed(acting[-1].value, 2)} logits, above it by 0. "
        f"Planted: one head of block {top + 1} reads T_inst, and a copy above it comes too late."
    )
    near = [str(layer) for layer in (top - 1, top + 1) if 0 <= layer < result.layers]
    return truth([str(top)], near, said, path=top)


def missed(found: Mapping[str, Any]) -> Truth:
    """The head that patching finds at the answer and pathways give nothing."""
    ways, heads = by_head(found)
    lost = [head for head, value in heads.items() if abs(value) > LEAST and abs(ways.get(head, 0.0)) < LEAST]
    names = " and ".join(f"L{layer} H{head}" for layer, head in lost)
    key = "task" if lost else "query"
    said = (
        f"<b>{names}</b>, which reads the instruction: patched, it moves the answer {signed(heads[lost[0]], 2)}, "
        "and pathways give it nothing. It opens the gate of an MLP, and pathways hold gates at what they are: all goes "
        "to the head that brings the query."
        if lost
        else "Pathways miss no head that patching finds."
    )
    return truth([key], [], said)


def phantom(found: Mapping[str, Any]) -> Truth:
    """How much of weight shape's heads carry."""
    cell = found["carried"].cell(SHAPE, WEIGHT)
    if cell.value is None:
        return truth(["none"], [], "Weight’s own heads do not carry it here, so there is no share.")
    key = "none" if cell.value < 0.25 else "some" if cell.value < 0.75 else "most"
    said = (
        f"<b>{cell.value:.0%}</b> [{cell.low:.0%}, {cell.high:.0%}] of what its own do, with an overlap of "
        f"{cell.overlap:.0%}: <b>{cell.name}</b>. Planted: shape’s heads read weight, too, if weaker than those that "
        "the ranking kept. Few heads in common does not mean that the work is not shared."
    )
    return truth([key], ordered(CARRIES, key), said)


def by_head(found: Mapping[str, Any]) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """What pathways give each head, and what patching it does at the answer, in logits."""
    ways: Pathways = found["ways"]
    heads: Effects = found["heads"]
    return ways.by_head(), {(cell.layer, cell.column): cell.value for cell in heads.cells("z")}


@dataclass(frozen=True)
class Bars(Scene):
    """The heads that either method names, a bar for each."""

    def draw(self, now: Showing) -> None:
        if now.truth is None:
            pieces.head("Heads of planted-and", HIDDEN)
            return
        p, both = now.palette, by_head(now.found)
        named = sorted({head for values in both for head, value in values.items() if abs(value) > LEAST})
        for name, what, values in zip(
            ("Pathways", "Patching"), ("share of the difference", "told into bare, at the answer"), both, strict=True
        ):
            pieces.head(name, f"{what}, logits")
            told = [(f"L{layer} H{head}", values.get((layer, head), 0.0)) for layer, head in named]
            rows = [(head, value, value, value, p.orange if value > 0 else p.muted) for head, value in told]
            bars = pieces.whisker(rows, p, scale=max((abs(row[1]) for row in rows), default=1.0) * 1.1)
            st.html(f'<div class="ivx-card plain">{bars}</div>')


@dataclass(frozen=True)
class Matrix(Scene):
    """Every task's heads on every task."""

    def draw(self, now: Showing) -> None:
        found: Transfer | None = now.found.get("carried")
        if found is None or now.truth is None:
            pieces.head("Heads of one task, asked another", HIDDEN)
            return
        pieces.head("Heads of one task, asked another", "95 % intervals")
        at = (found.tasks.index(SHAPE), found.tasks.index(WEIGHT))
        spec = transfer_chart(
            found.tiles(), names=found.tasks, palette=now.palette, chosen=at, alt_text="Circuit transfer of four tasks"
        )
        st.vega_lite_chart(spec, theme=None, width="stretch")


STORY = Story(
    "known",
    "Planted",
    MappingProxyType(requests()),
    (
        Step(
            "Up to which layer does the copy act?",
            "<b>planted-path</b> was not trained: every weight was set by hand. Block 0 moves the task to "
            "<b>T_inst</b>, block 2 reads it from there. T_inst is copied onto the first token of a bare prompt: which "
            "is the last layer whose copy acts?",
            BLOCKS,
            last_layer,
            Maps((Panel("path", PATH),)),
            ("path",),
            (READ_A_MAP, "Layer 1 is the state behind block 1. A block reads the state below it."),
            chips="path",
        ),
        Step(
            "Which head do pathways miss?",
            "In <b>planted-and</b> an answer needs both: one head brings the instruction, one the query, and an MLP "
            "multiplies the two. Pathways split the answer’s logit over heads. Which of the two do they give nothing?",
            MISSED,
            missed,
            Bars(),
            ("ways", "heads"),
            (
                "The MLP is gated: what the instruction’s head writes opens a gate, what the query’s head writes goes "
                "through it. Pathways hold attention, norm scales and gates at what they are in the run.",
            ),
            chips="heads",
        ),
        Step(
            "Do heads that are not shared share no work?",
            "In <b>planted-heads</b>, shape and weight have one of five heads in common. All but shape’s "
            "three strongest are ablated, and the model is asked for the <b>weight</b>: how much is left of what "
            "weight’s own three do?",
            CARRIES,
            phantom,
            Matrix(),
            ("carried",),
            ("Heads are found on one half of the queries, and tried on the other.",),
            chips="",
        ),
    ),
    MappingProxyType(
        {
            "Pathways of planted-and": link("pathways", checkpoint=AND, task=TASK),
            "Effects of planted-path": link("effects", checkpoint=PATH, task=TASK),
            "Circuit transfer of planted-heads": link(
                "pathways",
                checkpoint=HEADS,
                task=TASK,
                **{"carry": f"{TASK},thing/size,{SHAPE},{WEIGHT}", "carry-heads": "3"},
            ),
        }
    ),
)
