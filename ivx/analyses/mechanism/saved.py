"""How a mechanism is kept: its samples, and what each measured head looks at."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.mechanism.request import MechanismRequest
from ivx.analyses.mechanism.result import ROLES, ROWS, Look, Mechanism, halves
from ivx.formats.checks import keys, refuse, typed, whole
from ivx.formats.samples import MAX_COLUMNS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.positions import check_named


def write(found: Mechanism) -> dict[str, Any]:
    """The samples, heads of a layer, and the attention rows of each measured head."""
    looks = {
        patch: {"source": list(map(list, look.source)), "target": list(map(list, look.target))}
        | {"moved": look.moved, "other": look.other}
        for patch, look in found.looks.items()
    }
    return {**samples_written(found.samples), "heads": found.heads, "looks": looks}


def read(request: MechanismRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Mechanism:
    """The result; raises `IvxError`."""
    samples, heads = samples_read(told), whole(told["heads"], "heads", 1, MAX_COLUMNS)
    if len(samples.counter) != len(samples.rows):
        refuse("counter", f"{len(samples.rows)} samples")
    if any(len(a.instructed) != len(b.instructed) for a, b in zip(samples.rows, samples.counter, strict=True)):
        refuse("counter", "prompts of equal length")
    return Mechanism(
        request=request,
        table=table,
        samples=samples,
        layers=layers_read(told),
        heads=heads,
        looks=_looks(told["looks"], heads, most=request.heads),
        receipt=receipt,
    )


def _looks(told: Any, heads: int, *, most: int) -> dict[str, Look]:
    if not isinstance(told, dict) or len(told) > most:
        refuse("looks", f"at most {most} heads")
    found: dict[str, Look] = {}
    for patch, one in told.items():
        check_named(patch)
        keys(one, *Look._fields, what="looks")
        rows = [typed(tuple[tuple[float, ...], ...], one[name], f"looks, {name}") for name in ("source", "target")]
        for some in rows:
            lengths = [len(row) for row in some]
            if not some or (len(some) > 1 and lengths != list(range(1, len(some) + 1))):
                refuse("looks", "rows that are each one token longer than the one before, or one alone")
            if any(not 0 <= x <= 1 for row in some for x in row):
                refuse("looks", "shares from 0 to 1")
        moved = typed(float, one["moved"], "looks, moved")
        if not 0 <= moved <= 1 + 1e-3:
            refuse("looks, moved", "a share from 0 to 1")
        found[patch] = Look(rows[0], rows[1], moved, whole(one["other"], "looks, other", 0, heads - 1))
    return found


def check(found: Mechanism) -> None:
    """Refuse rows and a receipt that no computation returned; raises `IvxError`."""
    n = len(found.samples.rows)
    check_sweep(found, sites=("z",), roles=ROLES, parts=[range(n)[half] for half in halves(n)])


SAVED: Saved[MechanismRequest, Mechanism] = Saved(
    result=Mechanism,
    rows=ROWS,
    context=(*SAMPLES, "heads", "looks"),
    write=write,
    read=read,
    check=check,
)
