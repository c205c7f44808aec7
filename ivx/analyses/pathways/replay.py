"""Replay of pathways: some rows of a stored result computed again, each sample by itself.

Totals come from the model itself, with nothing frozen; nodes and heads from a sweep of that sample alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pyarrow.compute as pc

from ivx.analyses.pathways.attribution import Batch, attribute
from ivx.analyses.pathways.parts import Parts
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.pathways.slots import Alignment
from ivx.engine.linear.fidelity import own_logits
from ivx.models.model import Model
from ivx.patching.table import Key, sampled


def replay(
    model: Model, found: Pathways, kinds: Mapping[str, Batch], *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[tuple[Key, ...], tuple[float, ...], tuple[float, ...]]:
    """Compute random rows of samples again: run, kind, place and sample of each, its stored value, and its new one.

    Args:
        kinds: the batch of each kind of run.
        beat: called before each row; what it raises ends the work.
    """
    each = found.table.filter(pc.field("item").is_valid())
    told: list[tuple[Key, float, float]] = []
    for row in sampled(each, rows, seed=seed):
        beat()
        asked, item = kinds[row["run"]], row["item"]
        place = "" if row["kind"] == "total" else f"{row['layer']} {row['to'] or row['head']}"
        again = _again(model, asked, row)
        told.append(((row["run"], row["kind"], place, item), row["value"], again))
    keys, stored, again_ = zip(*told, strict=True) if told else ((), (), ())
    return keys, stored, again_


def _again(model: Model, asked: Batch, row: dict) -> float:
    item = row["item"]
    if row["kind"] == "total" and asked.patch is None:
        logits = own_logits(model, asked.prompts[item])
        less = 0.0 if asked.contrast is None else float(logits[asked.contrast[item]])
        return float(logits[asked.answer[item]]) - less
    parts = attribute(model, _alone(asked, item), beat=lambda n: None)
    return _value(parts, row)


def _alone(asked: Batch, item: int) -> Batch:
    """The batch of one sample alone."""
    patch = asked.patch
    if patch is not None:
        layer, positions, states = patch
        patch = (layer, [positions[item]], [states[item]])
    return replace(
        asked,
        prompts=[asked.prompts[item]],
        answer=[asked.answer[item]],
        contrast=None if asked.contrast is None else [asked.contrast[item]],
        alignment=Alignment(asked.alignment.slots, (asked.alignment.keys[item],)),
        patch=patch,
    )


def _value(parts: Parts, row: dict) -> float:
    if row["kind"] == "total":
        return float(parts.total[0])
    if row["kind"] == "head":
        return float(parts.by_slot["heads"][0, row["layer"], row["head"]].sum())
    return float(parts.by_slot["nodes"][0, row["layer"] + 1, parts.alignment.named().index(row["to"])])
