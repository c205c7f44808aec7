"""Unpacking: a run read out of an archive that anybody may have made.

A stranger's archive is hostile until it is read: nothing of it is executed, unpickled or written to disk, every value
is checked, and its run never takes the place of one that was computed here (`Unpacked`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import pyarrow as pa

from ivx.analyses.registry import checked, named_by, restored
from ivx.archive import members
from ivx.errors import IvxError
from ivx.formats import parquet
from ivx.formats.receipts import prose, receipt_read
from ivx.jobs.compute import result_of

if TYPE_CHECKING:
    from ivx.store.run import Run
    from ivx.store.store import Store


MAX_NAME = 1_000
"""Most characters of a checkpoint's name or place."""


MAX_VALUES = 4_000_000
"""Most values of a document, counted before any is made: an empty list has two bytes in a file, and 64 in memory."""
MAX_DEPTH = 8
"""Most levels of nested lists and objects."""


@dataclass(frozen=True)
class Unpacked:
    """A checked run from an archive; its numbers are only as trustworthy as whoever made it.

    In its receipt `imported` is True, `origin` the id it had where it was computed, and `run` one made of its content:
    it can never be found, stored or cached under a request's id.
    """

    asked: dict[str, Any]
    receipt: dict[str, Any]
    context: dict[str, Any]
    table: pa.Table

    @property
    def result(self) -> Any:
        """The result, ready to be read and drawn."""
        return restored(self.asked, self.context, self.table, self.receipt)


def unpack(source: Path | str | BinaryIO) -> Unpacked:
    """The run in an archive, or in a folder into which one was unpacked; whatever does not fit raises `IvxError`."""
    found = members.members(source)
    asked, receipt, context = (_json(found[name], name) for name in ("asked.json", "receipt.json", "context.json"))
    _check_words(asked.get("request"))
    saved = named_by(asked).saved
    table = parquet.read(found["rows.parquet"], saved.rows, longest=saved.longest)
    _check_same(asked, receipt, table)
    receipt = receipt_read(receipt)  # without what no page knows
    origin = receipt.get("origin", receipt["run"])
    marks = {"run": _address(asked, context, origin, table), "origin": origin, "imported": True}
    run = Unpacked(asked, receipt | marks, context, table.replace_schema_metadata(None))
    request = checked(run.result).request
    if request.run_id(asked["checkpoint"]["fingerprint"], receipt["task"], engine=receipt["engine"]) != origin:
        _refuse("the run id is not the hash of what was asked")
    return run


def _address(asked: dict[str, Any], context: dict[str, Any], origin: str, table: pa.Table) -> str:
    """The id of an imported run: 12 hexadecimal digits of a hash of its content."""
    content = hashlib.sha256(b"imported")
    for part in (asked, context, origin):
        content.update(json.dumps(part, sort_keys=True).encode())
    with pa.PythonFile(_Told(content), mode="w") as sink, pa.ipc.new_stream(sink, table.schema.remove_metadata()) as to:
        to.write_table(table.combine_chunks().replace_schema_metadata(None))
    return content.hexdigest()[:12]


class _Told(io.RawIOBase):
    """A file all of which goes into a hash, and which nobody keeps."""

    def __init__(self, told: Any) -> None:
        self._told = told

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._told.update(data)
        return len(data)


def stored(run: Run) -> Any:
    """The result of a complete run of the store; raises `IvxError` where a part of it is missing."""
    found = result_of(run)
    if found is None:
        raise IvxError(f"run {run.id} is not complete: ask for it again, and it goes on where it stopped")
    return found


def keep(run: Unpacked, store: Store) -> str:
    """Put an unpacked run into the store; returns the id it has there, the same each time."""
    place = store.begin(run.receipt["run"], asked={**run.asked, "imported": True})
    with place.lock() as mine:
        if not mine:
            raise IvxError(f"run {place.id} is being imported by another process: wait for it")
        if place.receipt is None:
            place.append(run.table)
            place.keep("context", run.context)
            place.complete(run.receipt)
    return place.id


def read(source: Path | str | BinaryIO) -> Any:
    """The result in an archive, or in a folder into which one was unpacked."""
    return unpack(source).result


def _json(data: bytes, name: str) -> dict[str, Any]:
    def constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no number of JSON")

    try:
        values = data.count(b",") + data.count(b"[") + data.count(b"{")
        if values > MAX_VALUES:
            raise ValueError(f"{values:,} values, more than {MAX_VALUES:,}")
        found = json.loads(data.decode("utf-8"), parse_constant=constant)
        level, depth = [found], 0
        while level := [v for part in level if isinstance(part, (dict, list)) for v in _values(part)]:
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
    except (ValueError, RecursionError) as error:
        raise IvxError(
            f"the archive's {name} is not JSON as expected ({str(error)[:100]}): export the run again"
        ) from error
    if not isinstance(found, dict):
        _refuse(f"{name} is not an object")
    return found


def _values(part: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return part.values() if isinstance(part, dict) else part


def _check_same(asked: dict[str, Any], receipt: dict[str, Any], table: pa.Table) -> None:
    """Refuse documents of different runs; and malformed ones, as far as the analysis does not check them."""
    if set(asked) != {"kind", "request", "checkpoint"}:
        _refuse("asked.json has other parts than kind, request and checkpoint")
    for name in ("kind", "request", "checkpoint"):
        # Compared as JSON: to Python, True is 1, and 1 is 1.0.
        if json.dumps(receipt.get(name), sort_keys=True) != json.dumps(asked[name], sort_keys=True):
            _refuse(f"receipt.json and asked.json name different {name}s")
    checkpoint = asked["checkpoint"]
    names = {"name", "fingerprint", "source"}
    parts = set(checkpoint) - {"part", "quantisation", "merged"} if isinstance(checkpoint, dict) else set()
    if parts != names or not all(map(_is_text, checkpoint.values())):
        _refuse("the checkpoint is not told by name, fingerprint and source")
    for name in ("run", "origin"):
        told = receipt.get(name, receipt.get("run"))
        if not isinstance(told, str) or not re.fullmatch(r"[0-9a-f]{12}", told):
            _refuse(f"receipt.json has no {name} of 12 hexadecimal digits")
    if (table.schema.metadata or {}).get(parquet.RECEIPT_KEY, b"") != json.dumps(receipt).encode():
        _refuse("rows.parquet carries another receipt than receipt.json")
    if receipt.get("rows") != table.num_rows:
        _refuse(f"receipt.json tells of {str(receipt.get('rows'))[:40]} rows, rows.parquet has {table.num_rows:,}")


def _check_words(request: Any) -> None:
    """Refuse names and words in which something is hidden: what was asked is shown in lists, titles and terminals."""
    for name, told in request.items() if isinstance(request, dict) else ():
        for one in told if isinstance(told, list) else [told]:
            if isinstance(one, str):
                prose(one.replace("\r\n", "\n"), f"request, {name}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME and value.isprintable()


def _refuse(what: str) -> NoReturn:
    raise IvxError(f"the archive does not fit together: {what}; export the run again")
