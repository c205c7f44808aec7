"""How pathways are kept: the samples of both instructions, and what was found beside the rows."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.pathways.findings import Findings
from ivx.analyses.pathways.parts import KEY, KINDS, SCHEMA
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.formats.checks import LARGEST, each, refuse, typed, whole
from ivx.formats.samples import (
    MAX_COLUMNS,
    SAMPLES,
    layers_read,
    sample_read,
    sample_written,
    samples_read,
    samples_written,
)
from ivx.formats.sweeps import bounded, check_paired, check_receipt

RUNS = ("here", "there", "bare", "patched")
SLOT = re.compile(r"(special|keyword|t_inst|query|(instruction|before|after)(:\d{1,6})?)", re.ASCII)
ROUNDING = 1e-3
NEEDED = {
    "edge": ("layer", "head", "from", "to", "attention"),
    "head": ("layer", "head", "to"),
    "stay": ("layer", "to"),
    "node": ("layer", "to"),
}
"""Columns that must have a value in the means of a kind."""


def write(found: Pathways) -> dict[str, Any]:
    """Heads, both instructions' samples, and the findings outside the table."""
    there = [sample_written(sample) for sample in found.there]
    return {**samples_written(found.samples), "heads": found.heads, "there": there, "found": asdict(found.found)}


def read(request: PathwaysRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Pathways:
    """The result; raises `IvxError`."""
    samples, n = samples_read(told), len(told["rows"])
    there = tuple(each(told["there"], "there", sample_read, most=n, least=n))
    heads, flow = whole(told["heads"], "heads", 1, MAX_COLUMNS), typed(Findings, told["found"], "found")
    return Pathways(
        request=request,
        table=table,
        samples=samples,
        there=there,
        layers=layers_read(told),
        heads=heads,
        found=flow,
        receipt=receipt,
    )


def check(found: Pathways) -> None:
    """Refuse rows, slots and comparisons that no sweep of the surrogate returned; raises `IvxError`."""
    check_receipt(found.receipt, rows=found.table.num_rows, samples=len(found.samples.rows))
    check_paired(found.receipt)
    _check_slots(found)
    _check_found(found)
    table, n = found.table, len(found.samples.rows)
    for name, low, high in (
        ("layer", -1, found.layers),
        ("head", 0, found.heads - 1),
        ("item", 0, n - 1),
        ("attention", 0, 1 + ROUNDING),
        *((name, -LARGEST, LARGEST) for name in ("value", "low", "high", "first_half", "second_half")),
    ):
        bounded(table[name], f"rows, column {name}", low=low, high=high)
    for name, allowed in (("run", set(found.found.slots)), ("kind", set(KINDS))):
        if not set(pc.unique(table[name]).to_pylist()) <= allowed:
            refuse(f"rows, column {name}", f"one of {', '.join(sorted(allowed))}")
    for run, slots in found.found.slots.items():
        of, known = table.filter(pc.field("run") == run), {slot.key for slot in slots} | {None}
        for name in ("from", "to"):
            if not set(pc.unique(of[name]).to_pylist()) <= known:
                refuse(f"rows, {run}, column {name}", "a slot of this run")
    for kind, needed in NEEDED.items():
        of = table.filter(pc.field("kind") == kind)
        if kind == "head":
            of = of.filter(pc.field("item").is_null())
        for name in needed:
            if of[name].null_count:
                refuse(f"rows, {kind}, column {name}", "a value in every row")
    if table["value"].null_count:
        refuse("rows, column value", "a value in every row")
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    for run in found.found.slots:
        of = (pc.field("run") == run) & (pc.field("kind") == "total")
        if table.filter(of & pc.field("item").is_null()).num_rows != 1:
            refuse(f"rows, {run}", "one mean total")
        each_head = (pc.field("run") == run) & (pc.field("kind") == "head") & pc.field("item").is_valid()
        if table.filter(each_head).num_rows != n * found.layers * found.heads:
            refuse(f"rows, {run}", "every head of every sample")


def _check_slots(found: Pathways) -> None:
    slots = found.found.slots
    if not {"here", "there"} <= set(slots) <= set(RUNS):
        refuse("found, slots", f"the runs {', '.join(RUNS)}")
    for run, these in slots.items():
        names = [slot.key for slot in these]
        if not names or len(set(names)) < len(names) or not all(SLOT.fullmatch(name) for name in names):
            refuse(f"found, slots, {run}", "slots of other names")


def _check_found(found: Pathways) -> None:
    told = found.found
    for one in told.overlaps:
        levels = [value for layer in one.layers for value in (layer.jaccard, layer.low, layer.high, layer.reference)]
        if one.other not in RUNS or [layer.layer for layer in one.layers] != list(range(found.layers)):
            refuse("found, overlaps", "every layer of a kind of run")
        if not all(-ROUNDING <= value <= 1 + ROUNDING for value in levels):
            refuse("found, overlaps", "shares from 0 to 1")
    if not told.overlaps or told.overlaps[0].other != "there":
        refuse("found, overlaps", "the two instructions' first")
    for curve in told.curves:
        sizes = [point.n for point in curve.points]
        if not sizes or sizes[0] < 1 or sorted(set(sizes)) != sizes or curve.unit not in ("heads", "edges"):
            refuse("found, curves", "circuits of growing size")
    for area in told.areas:
        if area.ranking not in ("pathways", "eap", "eap-ig", "random") or len(area.sizes) != len(area.kept):
            refuse("found, areas", "a share for each size of a known ranking")
        if not area.sizes or area.sizes[0] < 1 or sorted(set(area.sizes)) != list(area.sizes):
            refuse("found, areas", "circuits of growing size")
    for sample in told.starts:
        if any(min(one) < 0 or not one.ranked <= one.listed for one in sample):
            refuse("found, starts", "counts of paths, of which some rank the answer high")
    for run, drawn in told.explained.items():
        sizes = [one.edges for one in drawn]
        if run not in told.slots or not sizes or sorted(set(sizes)) != sizes or sizes[0] < 1:
            refuse("found, explained", "drawings of growing size")


SAVED: Saved[PathwaysRequest, Pathways] = Saved(
    result=Pathways,
    rows=SCHEMA,
    context=(*SAMPLES, "heads", "there", "found"),
    write=write,
    read=read,
    check=check,
    key=KEY,
)
