"""Runs that come with ivx, one Parquet file each, so that the first page opens on a picture, of the embedded family and
of a real one, whose weights need not be here.

A file holds a run's rows, and in its metadata what was asked, the receipt, the context, and the text of every token
that is named by its number. It is put into the store the first time somebody asks for it, and is from then on a run
like any other: it can be exported and deleted, and replayed where its checkpoint is.
"""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ivx.analyses import defaults
from ivx.analyses.compare.request import Compared
from ivx.analyses.registry import named_by
from ivx.models.registry import CHECKPOINTS, REAL_RUNS, RUNS
from ivx.request import BaseRequest
from ivx.store.run import Run
from ivx.store.store import Store

CONTEXT = "context"
"""The document of a run that holds what is needed beside its rows to read and draw them."""
TOKENS = "tokens"
"""The document that holds the texts of tokens by their numbers, of a run whose tokenizer need not be here."""
PARTS = ("asked", "receipt", CONTEXT)
PATIENCE = 10.0
"""Seconds that one waits for whoever puts a run into the store; who computes it takes longer, and is not waited for."""
_KEY = b"ivx"
_RUN = re.compile(r"[0-9a-f]{12}")
_WIDE = (pa.float64(), pa.list_(pa.float64()))


def shipped() -> list[BaseRequest]:
    """The requests of the embedded family whose runs come with ivx: the default ones, all pairs of layers and vectors
    of every checkpoint, and probes and effects of `SUBJECTS`. Those of the real one are `ivx.analyses.family`'s."""
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
    return bool(_RUN.fullmatch(run)) and _path(run).is_file()


def adopted(store: Store, run: str) -> Run | None:
    """The run of this id, put into the store; None where none came with ivx.

    Another thread or process that is at it already is waited for.
    """
    if not is_shipped(run):
        return None
    table = pq.read_table(_path(run), use_threads=False)
    told = json.loads(zlib.decompress(base64.b85decode(table.schema.metadata[_KEY])))
    found = store.begin(run, asked=told["asked"])
    with found.lock() as mine:
        if not mine:
            return _awaited(found)
        if found.receipt is not None:
            return found
        found.append(table.replace_schema_metadata(None))
        found.keep(CONTEXT, told[CONTEXT])
        if TOKENS in told:
            found.keep(TOKENS, told[TOKENS])
        found.complete(told["receipt"])
    return found


def found(store: Store, run: str) -> Run | None:
    """The run of this id in the store, whole where it came with ivx, also while another thread puts it there."""
    there = store.find(run)
    if (there is None or there.receipt is None) and is_shipped(run):
        return adopted(store, run)
    return there


def _awaited(run: Run) -> Run:
    until = time.monotonic() + PATIENCE
    while run.receipt is None and time.monotonic() < until:
        time.sleep(0.02)
    return run


def cut(table: pa.Table, top: int) -> pa.Table:
    """The rows with their likeliest tokens alone, so many of them: half of a file is tokens that only a card names."""
    for name in ("top_ids", "top_logits"):
        if name in table.column_names:
            kept = pc.list_slice(table[name], 0, top)
            table = table.set_column(table.column_names.index(name), name, kept)
    return table


def tokens_in(table: pa.Table) -> list[int]:
    """The tokens that a run's rows name by their numbers."""
    if "top_ids" not in table.column_names:
        return []
    return sorted(set(pc.list_flatten(table["top_ids"]).to_pylist()))


def texts_of(store: Store, run: str) -> dict[str, str]:
    """The texts of the tokens that a run from elsewhere names, by their numbers."""
    found = store.find(run)
    told = None if found is None else found.kept(TOKENS)
    return told if isinstance(told, dict) else {}


def ship(
    run: Run, folder: Path = RUNS, *, table: pa.Table | None = None, tokens: Mapping[int, str] | None = None
) -> Path:
    """Write a complete run where `adopted` finds it; returns the file.

    Args:
        table: the rows as they ship (default: as they are).
        tokens: the texts of `tokens_in` its rows, where the tokenizer does not come with ivx.
    """
    table = run.table(named_by(run.asked).saved.key) if table is None else table
    assert table is not None and run.receipt is not None
    told = placeless(dict(zip(PARTS, (run.asked, run.receipt, run.kept(CONTEXT)), strict=True)))
    if tokens is not None:
        told[TOKENS] = {str(number): text for number, text in tokens.items()}
    folder.mkdir(exist_ok=True)
    to = folder / f"{run.id}.parquet"
    packed = base64.b85encode(zlib.compress(json.dumps(told).encode(), 9))
    # float32 values stored as float64 are half zero bytes; with bytes grouped by place they shrink to half.
    wide = [field.name for field in table.schema if field.type in _WIDE]
    pq.write_table(
        table.replace_schema_metadata({_KEY: packed}),
        to,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in wide],
        use_byte_stream_split=[f"{name}.list.element" if name.startswith("top") else name for name in wide],
    )
    return to


def placeless(told: Any) -> Any:
    """A document without the folders of the machine that made it: a checkpoint's source is then its name."""
    if isinstance(told, list):
        return [placeless(part) for part in told]
    if not isinstance(told, dict):
        return told
    kept = {key: placeless(part) for key, part in told.items()}
    if "name" in kept and _is_place(kept.get("source")):
        kept["source"] = kept["name"]
    return kept


def _is_place(source: Any) -> bool:
    """Whether it is a folder or file of some machine, of whatever system."""
    return isinstance(source, str) and (PurePosixPath(source).is_absolute() or PureWindowsPath(source).is_absolute())


def _path(run: str) -> Path:
    """Where a run lies if it came with ivx."""
    places = [folder / f"{run}.parquet" for folder in (RUNS, REAL_RUNS)]
    return next((place for place in places if place.is_file()), places[0])
