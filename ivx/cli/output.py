"""What a command prints and writes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivx.errors import IvxError

if TYPE_CHECKING:
    from ivx.analyses.compare.result import Comparison
    from ivx.analyses.effects.result import Effects
    from ivx.analyses.interactions.result import Interactions
    from ivx.analyses.pathways.result import Pathways
    from ivx.request import BaseRequest


LISTS = {"sites", "tasks", "components", "projections", "controls"}
"""Options that hold several names."""


WRITERS = (".parquet", ".csv", ".json")


def plain(text: str) -> str:
    """Text on one line, without what a terminal would obey: it may come from a file that anybody made."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def loading(parser: argparse.ArgumentParser, *, dtype: str = "auto") -> None:
    """Add the options that say how a checkpoint is loaded."""
    parser.add_argument("--dtype", default=dtype, help="auto, float32, float64, bfloat16 or float16")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--adapter", help="directory of a LoRA adapter to merge")


def report(
    kind: type[BaseRequest],
    asked: argparse.Namespace,
    *,
    summary: Callable[[Any], dict[str, Any]],
    words: Callable[[dict[str, Any]], str],
) -> None:
    """Answer a command: its rows into the file that was named, its summary printed in words or as JSON."""
    from ivx.stats.metrics import find

    if hasattr(asked, "metric"):
        find(asked.metric)
    check_out(asked.out)
    found = answered(kind, asked)
    if asked.out is not None:
        write(found, asked.out)
    told = summary(found)
    print(json.dumps(told, indent=1) if asked.json else words(told))


def answered(kind: type[BaseRequest], asked: argparse.Namespace) -> Any:
    """The result of a request whose fields are the command's options: from the store, or computed and stored."""
    from ivx.jobs import compute
    from ivx.models.load import load
    from ivx.store.store import Store

    told = {field.name: getattr(asked, field.name) for field in fields(kind) if hasattr(asked, field.name)}
    for name in LISTS & told.keys():
        told[name] = tuple(filter(None, told[name].split(",")))
    request = kind(**told)
    return compute.answered(
        Store(),
        request,
        load=lambda: load(request.checkpoint, dtype=request.dtype, device=request.device, adapter=request.adapter),
        on_progress=bar if sys.stderr.isatty() else None,
    )


def check_out(path: Path | None) -> None:
    """Refuse a file whose name does not say how rows are to be written, before they are computed."""
    if path is not None and path.suffix not in WRITERS:
        raise IvxError(f"--out {path}: its name must end in {', '.join(WRITERS)}")


def bar(_: object, done: int, total: int) -> None:
    """Progress on one line of standard error."""
    print(f"\r{done} of {total} rows", end="\n" if done == total else "", file=sys.stderr)


def write(found: Effects | Interactions | Pathways | Comparison, path: Path) -> None:
    """Write the rows of a result; Parquet carries the receipt in its metadata."""
    from ivx.formats import parquet, sheet

    if path.suffix == ".parquet":
        content = parquet.parquet(found.table, found.receipt)
    elif path.suffix == ".csv":
        content = sheet.csv(found.table)
    else:
        content = json.dumps({"receipt": found.receipt, "rows": found.table.to_pylist()}).encode()
    save(content, path)


def save(content: bytes, path: Path) -> None:
    """Write a file, or say in one sentence why it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise IvxError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error
