"""Pairing: what two checkpoints have in common, so that they can be compared sample by sample."""

from __future__ import annotations

from collections.abc import Mapping

from ivx.errors import IvxError
from ivx.tasks.samples import Samples


def paired(one: Samples, other: Samples) -> tuple[list[int], list[int]]:
    """The numbers of the samples that have one query in both, in the order of the first; raises `IvxError` for none."""
    where = {sample.query: k for k, sample in enumerate(other.rows)}
    mine = [k for k, sample in enumerate(one.rows) if sample.query in where]
    if not mine:
        raise IvxError("the two checkpoints were asked no query in common, so they cannot be compared: use one task")
    return mine, [where[one.rows[k].query] for k in mine]


def check_shapes(shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse checkpoints whose vectors live in unlike spaces; `shapes` are (layers, width) by name."""
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} has {layers} layers of width {width}" for name, (layers, width) in shapes.items())
        raise IvxError(f"vectors pass only between checkpoints of one shape; {told}: choose checkpoints of one family")
