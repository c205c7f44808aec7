"""What a command prints and writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ivx.errors import IvxError
from ivx.formats.plain import json_text
from ivx.patching import gate

WRITERS, DRAWERS = (".parquet", ".csv", ".json"), (".svg", ".png")


class Written(Protocol):
    """What can be written to a file: rows, and a receipt."""

    @property
    def table(self) -> pa.Table: ...
    @property
    def receipt(self) -> dict[str, Any]: ...


def plain(text: str) -> str:
    """Text on one line, without terminal control characters: it may come from an untrusted file."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def add_ray(parser: argparse.ArgumentParser) -> None:
    """The option of every command that computes, which is no part of what is asked."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="spread sweeps over a Ray cluster: auto (this machine's, or a new one), local (a new one) or host:port "
        "(default: IVX_RAY)",
    )


def report(
    found: Written,
    summary: dict[str, Any],
    *,
    out: Path | None,
    as_json: bool,
    words: Callable[[dict[str, Any]], str],
) -> None:
    """Write the rows into the file that was named, and print the summary, in words or as JSON."""
    if out is not None:
        write(found.table, found.receipt, out)
    print(json_text({**noted(summary), **summary}, indent=1) if as_json else words(summary))


def noted(receipt: dict[str, Any]) -> dict[str, str]:
    """What must be said first of a result, by the name `note`; nothing where there is nothing to say."""
    said = gate.opening(receipt)
    return {"note": said} if said else {}


def add_files(parser: argparse.ArgumentParser, rows: str) -> None:
    """The options that name files to write; `rows` are what `--out` writes."""
    parser.add_argument("--out", type=Path, help=f"write {rows} to FILE.parquet, .csv or .json")
    parser.add_argument(
        "--plotted",
        type=Path,
        metavar="FILE",
        help="write what the figures show (cell, mean, interval, p, control, state) to FILE.parquet, .csv or .json",
    )
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="write the figures as one picture to FILE.svg or .png"
    )


def check_files(asked: argparse.Namespace) -> None:
    """Refuse a file whose name gives no known format, before any row is computed."""
    for name, endings in (("out", WRITERS), ("plotted", WRITERS), ("figure", DRAWERS)):
        path = getattr(asked, name, None)
        if path is not None and path.suffix not in endings:
            raise IvxError(f"--{name} {path}: its name must end in {', '.join(endings)}")


def write_shown(found: Any, asked: argparse.Namespace, metric: str) -> None:
    """Write the picture of a result, and the numbers in it, into the files that were named."""
    if asked.plotted is not None:
        write(found.plotted(metric), found.receipt, asked.plotted)
    if asked.figure is not None:
        from ivx.analyses.picture import picture

        picture(found, metric=metric).save(asked.figure)


def bar(_: object, done: int, total: int) -> None:
    """Progress on one line of standard error."""
    print(f"\r{done} of {total} rows", end="\n" if done == total else "", file=sys.stderr)


def bar_of_part(checkpoint: str, part: str, done: int, total: int) -> None:
    """The same of one part of one checkpoint."""
    print(f"\r\033[K{checkpoint}, {part}: {done} of {total}", end="\n" if done == total else "", file=sys.stderr)


def write(table: pa.Table, receipt: dict[str, Any], path: Path) -> None:
    """Write rows; Parquet carries the receipt in its metadata."""
    from ivx.formats import parquet, sheet

    told = noted(receipt)
    if path.suffix == ".parquet":
        content = parquet.parquet(table, receipt, **told)
    elif path.suffix == ".csv":
        content = sheet.csv(table, **told)
    else:
        content = json_text({**told, "receipt": receipt, "rows": table.to_pylist()}).encode()
    save(content, path)


def save(content: bytes, path: Path) -> None:
    """Write a file, or say in one sentence why it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise IvxError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error
