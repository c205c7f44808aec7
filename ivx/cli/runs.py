"""The commands about stored runs: `python -m ivx runs | export | import`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivx.errors import IvxError

if TYPE_CHECKING:
    from ivx.store.store import Entry


def add(commands: Any) -> None:
    """Add the commands to the parser of `ivx.cli.main`."""
    runs = commands.add_parser("runs", help="list the runs of the store, the last used first")
    runs.add_argument("--json", action="store_true")
    runs.set_defaults(run=_runs)

    export = commands.add_parser("export", help="write one run as a zip: rows, receipt, figures, notebook")
    export.add_argument("id", metavar="RUN_ID", help="12 hexadecimal digits, as `runs` lists them")
    export.add_argument("--out", type=Path, help="FILE.zip (default: ivx-RUN_ID.zip here)")
    export.add_argument("--metric", default="contrast", help="of the figures (default: contrast)")
    export.set_defaults(run=_export)

    importing = commands.add_parser("import", help="check a zip that `export` made, and put its run into the store")
    importing.add_argument("file", type=Path, metavar="FILE.zip")
    importing.set_defaults(run=_import)


def _runs(asked: argparse.Namespace) -> None:
    from ivx.store.store import Store

    entries = Store().entries()
    if asked.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
    elif not entries:
        print("no run is stored yet")
    for entry in [] if asked.json else entries:
        print(_line(entry))


def _line(entry: Entry) -> str:
    from ivx.cli.output import plain

    what = plain(f"{entry.kind:14}{entry.request('checkpoint')}, {entry.tasks}")
    used = datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
    marks = ", imported" * bool(entry.asked.get("imported")) + ", pinned" * entry.pinned
    return f"{entry.run}  {used}  {entry.state:9}{entry.rows:>10,} rows{entry.bytes / 1e6:>8.1f} MB  {what}{marks}"


def _export(asked: argparse.Namespace) -> None:
    from ivx.archive import pack, unpack
    from ivx.cli.output import save
    from ivx.stats.metrics import find
    from ivx.store.store import RUN, Store

    find(asked.metric)
    out = asked.out or Path(f"ivx-{asked.id}.zip")
    if out.suffix != ".zip":
        raise IvxError(f"--out {out}: its name must end in .zip")
    run = Store().find(asked.id) if RUN.fullmatch(asked.id) else None
    if run is None:
        raise IvxError(f"there is no run {asked.id!r} in the store: `python -m ivx runs` lists them")
    save(pack.of_result(unpack.stored(run), metric=asked.metric), out)
    print(out)


def _import(asked: argparse.Namespace) -> None:
    from ivx.archive import unpack
    from ivx.store.store import Store

    print(unpack.keep(unpack.unpack(asked.file), Store()))
