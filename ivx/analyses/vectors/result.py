"""The result of a vectors request: an instruction's states by layer and sample, and how alike two checkpoints' are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.vectors.request import VectorsRequest
from ivx.charts.lines import Dot, Line, lines_figure
from ivx.charts.palette import LIGHT
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted
from ivx.formats.vector import ADD, OVERWRITE, Vector
from ivx.stats.intervals import Array, mean_interval
from ivx.tasks.samples import Samples, paired

TABLE = pa.schema(
    [
        ("role", pa.string()),
        ("site", pa.string()),
        ("patch", pa.string()),
        ("sample", pa.int32()),
        ("norm", pa.float64()),
        ("state", pa.list_(pa.float32())),
    ]
)
"""One row per role × layer × sample. Roles: `effect`, the instruction's, and `control`, another task's instruction for
the same sample. `patch` is the place that the state was read at, such as `resid_post.3`."""


@dataclass(frozen=True)
class Alike:
    """How alike two checkpoints' vectors are in one layer: means over samples, with 95 % bootstrap intervals.

    `whole` is the cosine of the two states; `control`, of the earlier one's state with the later one's of another task:
    what any two instructions have in common. `own` is the cosine after each checkpoint's mean over another task's
    instructions is subtracted. Both are None where there is no such task. `norm` and `norm_before` are mean norms.
    """

    layer: int
    whole: float
    low: float
    high: float
    control: float | None
    own: float | None
    own_low: float | None
    own_high: float | None
    norm: float
    norm_before: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Vectors(Result[VectorsRequest]):
    """A result: one row per role × layer × sample, and everything needed to read it.

    `options` are the first tokens of every answer that the task has: a run that emits one gives the kind of answer
    that it was told to give, right or wrong.
    """

    samples: Samples
    width: int
    options: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and width of a state."""
        return self.layers, self.width

    def states(self, role: str = "effect") -> Array:
        """`[layers, samples, width]`; raises `IvxError` for a role that has none."""
        if role not in self._states:
            raise IvxError(f"there are no vectors of the role {role}: this task has no control task")
        return self._states[role]

    def vector(self, layer: int, *, operation: str = OVERWRITE) -> Vector:
        """The mean over samples in one layer, to be saved or tried.

        Args:
            operation: `overwrite`, the mean state; or `add`, the same less the mean of another task's instructions, so
                that what any two instructions have in common is not added twice.

        Raises:
            IvxError: there is no such layer, or nothing to subtract.
        """
        if not 0 <= layer < self.layers:
            raise IvxError(f"layer {layer}: {self.request.checkpoint} has layers 0 to {self.layers - 1}")
        values = self.states()[layer].mean(axis=0)
        if operation == ADD:
            values = values - self.states("control")[layer].mean(axis=0)
        return Vector(
            self.request.component,
            layer,
            operation,
            values.astype(np.float32),
            {**taken_from(self), "of": "mean state"},
        )

    def norms(self) -> Array:
        """Mean length of the instruction's vectors, `[layers]`."""
        return np.linalg.norm(self.states(), axis=2).mean(axis=1)

    def alike(self, before: Vectors) -> list[Alike]:
        """Cosines with another checkpoint's vectors, layer by layer, over the queries that both have.

        Raises:
            IvxError: the two differ in shape.
        """
        check_shapes({before.request.checkpoint: before.shape, self.request.checkpoint: self.shape})
        mine, theirs = paired(self.samples, before.samples)
        other = None
        if self.samples.control and before.samples.control:
            other = self.states("control")[:, mine], before.states("control")[:, theirs]
        return alike(self.states()[:, mine], before.states()[:, theirs], other=other, seed=self.request.seed)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The lengths."""
        return ("norms",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The vectors' mean norm by layer as it would be printed, a Vega-Lite spec `norms`; ignores the metric."""
        found = []
        for role, colour in (("effect", LIGHT.orange), ("control", LIGHT.blue)):
            if role in self._states:
                dots = (Dot(i, *row) for i, row in enumerate(self._lengths(role)))
                found.append(Line(role, colour, tuple(dots), thin=role == "control"))
        title = f"{self.request.checkpoint}: mean length of {self.request.component} at {self.request.source_token}"
        subtitle = "orange: the instruction's vectors; blue, dashed: another task's"
        return {"norms": lines_figure(found, layers=self.layers, title=title, subtitle=subtitle)}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figure shows, a number at a time (`ivx.formats.plotted`); ignores the metric."""
        n, other = len(self.samples.rows), self._lengths("control") if "control" in self._states else []
        for layer, (mean, low, high) in enumerate(self._lengths("effect")):
            yield Plotted(
                "norms", f"{self.request.component}.{layer}", f"L{layer}", layer, mean, low, high,
                control=other[layer][0] if other else None, n=n, what="length", unit="norm",
            )  # fmt: skip

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, and the mean norm of the vectors in every layer; ignores the metric."""
        return {**self.receipt, "width": self.width, "norms": self.norms().tolist()}

    def _lengths(self, role: str) -> list[tuple[float, float, float]]:
        """Mean length of one role's vectors with its interval, layer by layer."""
        lengths = np.linalg.norm(self.states(role), axis=2)
        columns = (lengths.mean(axis=1), *mean_interval(lengths, seed=self.request.seed))
        return list(zip(*(column.tolist() for column in columns), strict=True))

    @cached_property
    def _states(self) -> dict[str, Array]:
        found, n = {}, len(self.samples.rows)
        for role in dict.fromkeys(self.table["role"].to_pylist()):
            rows = self.table.filter(pc.field("role") == role)
            layer = np.array([int(patch.partition(".")[2]) for patch in rows["patch"].to_pylist()])
            order = np.lexsort((rows["sample"].to_numpy(), layer))
            flat = pc.list_flatten(rows["state"]).to_numpy().reshape(rows.num_rows, self.width)
            found[role] = flat[order].reshape(self.layers, n, self.width).astype(np.float64)
        return found


def taken_from(found: Result[Any]) -> dict[str, Any]:
    """What a vector's file says of the run that it was taken from."""
    receipt, request = found.receipt, found.receipt["request"]
    return {
        "run": found.run_id,
        "kind": found.request.kind,
        "checkpoint": receipt["checkpoint"]["name"],
        "fingerprint": receipt["checkpoint"]["fingerprint"],
        "task": request["task"],
        "less": receipt.get("control"),
        "token": request["source_token"],
        "samples": receipt["samples"],
        "ivx": receipt["versions"]["ivx"],
    }


def alike(a: Array, b: Array, *, other: tuple[Array, Array] | None, seed: int) -> list[Alike]:
    """How alike two kinds of vectors are, layer by layer; `b` are the earlier ones.

    Args:
        a, b: `[layers, samples, width]`, paired.
        other: the same two of another task; None where there is none.
    """
    whole = _cosines(a, b)
    low, high = mean_interval(whole, seed=seed)
    layers, n = whole.shape
    beside: list[list[float | None]] = [[None] * layers] * 4
    if other is not None:
        u, v = other
        own = _cosines(a - u.mean(axis=1, keepdims=True), b - v.mean(axis=1, keepdims=True))
        bounds = mean_interval(own, seed=seed)
        beside = [told.tolist() for told in (_cosines(b, u).mean(axis=1), own.mean(axis=1), *bounds)]
    norms = [np.linalg.norm(some, axis=2).mean(axis=1).tolist() for some in (a, b)]
    columns = [whole.mean(axis=1).tolist(), low.tolist(), high.tolist(), *beside, *norms, [n] * layers]
    return [Alike(*layer) for layer in zip(range(layers), *columns, strict=True)]


def _cosines(a: Array, b: Array) -> Array:
    """The cosine of each pair of states along the last axis; 0 where one is zero."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(axis=-1), lengths, out=np.zeros_like(lengths), where=lengths > 0)


def check_shapes(shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse checkpoints whose vectors differ in shape; `shapes` are (layers, width) by name."""
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} has {layers} layers of width {width}" for name, (layers, width) in shapes.items())
        raise IvxError(f"vectors pass only between checkpoints of one shape; {told}: choose checkpoints of one family")
