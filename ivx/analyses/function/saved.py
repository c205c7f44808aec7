"""How function vectors are kept: their samples, the vectors, and how alike they are to the instruction's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.function.result import COMPARED, ROLES, ROWS, FunctionVectors, halves
from ivx.analyses.vectors.result import Alike
from ivx.analyses.vectors.saved import LARGEST_NORM
from ivx.engine.address import STREAM
from ivx.formats.checks import boolean, keys, refuse, typed, whole
from ivx.formats.samples import MAX_COLUMNS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep

VECTORS = ("task", "counter")


def write(found: FunctionVectors) -> dict[str, Any]:
    """The samples, heads of a layer, what a share is, the vectors and the cosines."""
    return {
        **samples_written(found.samples),
        "heads": found.heads,
        "normed": found.normed,
        "vectors": {name: list(vector) for name, vector in found.vectors.items()},
        "alike": {name: [asdict(layer) for layer in layers] for name, layers in found.alike.items()},
    }


def read(request: FunctionRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> FunctionVectors:
    """The result; raises `IvxError`."""
    layers = layers_read(told)
    return FunctionVectors(
        request=request,
        table=table,
        samples=samples_read(told),
        layers=layers,
        heads=whole(told["heads"], "heads", 1, MAX_COLUMNS),
        normed=boolean(told["normed"], "normed"),
        vectors=_vectors(told["vectors"]),
        alike=_alike(told["alike"], layers),
        receipt=receipt,
    )


def _vectors(told: Any) -> dict[str, tuple[float, ...]]:
    if told:
        keys(told, *VECTORS, what="vectors")
    found = typed(dict[str, tuple[float, ...]], told, "vectors")
    if found and (len({len(vector) for vector in found.values()}) > 1 or not found[VECTORS[0]]):
        refuse("vectors", "two vectors of one width")
    if any(abs(value) > LARGEST_NORM for vector in found.values() for value in vector):
        refuse("vectors", f"numbers up to {LARGEST_NORM:,.0f}")
    return found


def _alike(told: Any, layers: int) -> dict[str, tuple[Alike, ...]]:
    if told:
        keys(told, *COMPARED, what="alike")
    found = typed(dict[str, tuple[Alike, ...]], told, "alike")
    if any([one.layer for one in of] != list(range(layers)) for of in found.values()):
        refuse("alike", f"each of {layers} layers once, in order")
    return found


def check(found: FunctionVectors) -> None:
    """Refuse rows and a receipt that no computation returned; raises `IvxError`."""
    n = len(found.samples.rows)
    parts = [range(n)[half] for half in halves(n)]
    check_sweep(found, sites=("z", STREAM), roles=ROLES, parts=parts)


SAVED: Saved[FunctionRequest, FunctionVectors] = Saved(
    result=FunctionVectors,
    rows=ROWS,
    context=(*SAMPLES, "heads", "normed", "vectors", "alike"),
    write=write,
    read=read,
    check=check,
)
