"""Runs that come with ivx: of the embedded family, one Parquet file each, so that the first page opens on a picture.

A file holds a run's rows, and in its metadata what was asked, the receipt and the context. It is put into the store
the first time somebody asks for it, and is from then on a run like any other: it can be replayed, exported and deleted.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ivx.analyses import defaults
from ivx.analyses.compare.request import Compared
from ivx.analyses.registry import named_by
from ivx.models.registry import CHECKPOINTS, RUNS
from ivx.request import BaseRequest
from ivx.store.run import Run
from ivx.store.store import Store

CONTEXT = "context"
"""The document of a run that holds what is needed beside its rows to read and draw them."""
PARTS = ("asked", "receipt", CONTEXT)
_KEY = b"ivx"
_WIDE = (pa.float64(), pa.list_(pa.float64()))


def shipped() -> list[BaseRequest]:
    """The requests whose runs come with ivx: the default ones, all pairs of layers and vectors of every embedded
    checkpoint, and probes and effects of `SUBJECTS`."""
    found: list[BaseRequest] = []
    for task in defaults.SHIPPED:
        for name in (known.name for known in CHECKPOINTS if known.path is not None):
            found += [*defaults.glance(name, task).values(), defaults.interactions(name, task)]
            found.append(Compared(task).part("vectors", name))
        for checkpoint, source in defaults.SUBJECTS:
            found.append(defaults.act(checkpoint, task, source=source))
            found += [defaults.read(checkpoint, task, component, source=source) for component in defaults.COMPONENTS]
    return list(dict.fromkeys(found))


def is_shipped(run: str) -> bool:
    """Whether a run came with ivx."""
    return _path(run).is_file()


def adopted(store: Store, run: str) -> Run | None:
    """The run of this id, put into the store; None where none came with ivx, or another process is at it."""
    if not is_shipped(run):
        return None
    table = pq.read_table(_path(run), use_threads=False)
    told = json.loads(zlib.decompress(base64.b85decode(table.schema.metadata[_KEY])))
    found = store.begin(run, asked=told["asked"])
    with found.lock() as mine:
        if not mine:
            return None
        found.append(table.replace_schema_metadata(None))
        found.keep(CONTEXT, told[CONTEXT])
        found.complete(told["receipt"])
    return found


def ship(run: Run) -> Path:
    """Write a complete run where `adopted` finds it; returns the file."""
    table = run.table(named_by(run.asked).saved.key)
    assert table is not None and run.receipt is not None
    told = dict(zip(PARTS, (run.asked, run.receipt, run.kept(CONTEXT)), strict=True))
    RUNS.mkdir(exist_ok=True)
    packed = base64.b85encode(zlib.compress(json.dumps(told).encode(), 9))
    # float32 values stored as float64 are half zero bytes; with bytes grouped by place they shrink to half.
    wide = [field.name for field in table.schema if field.type in _WIDE]
    pq.write_table(
        table.replace_schema_metadata({_KEY: packed}),
        _path(run.id),
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in wide],
        use_byte_stream_split=[f"{name}.list.element" if name.startswith("top") else name for name in wide],
    )
    return _path(run.id)


def _path(run: str) -> Path:
    return RUNS / f"{run}.parquet"
