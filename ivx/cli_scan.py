"""The command about source tokens: `python -m ivx scan`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    from ivx.cli.output import loading

    scan = commands.add_parser("scan", help="effect by the instruction's token that the vector is taken from")
    scan.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    scan.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    scan.add_argument("--against", help="contrast task (default: the task's natural one)")
    scan.add_argument("--sites", default="resid_post", help="comma-separated (default: resid_post)")
    scan.add_argument("--position", default="first", help="first, query, last or an index (default: first)")
    scan.add_argument("--source-token", default="all", help="all, t_inst, keyword or an index (default: all)")
    scan.add_argument(
        "--controls",
        default="task,identity,aggregation",
        help="of task, random, identity, aggregation (default: all but random)",
    )
    scan.add_argument("--target-format", default="prompt", help="prompt, query, filler or chat")
    scan.add_argument("--samples", type=int, default=40)
    scan.add_argument("--seed", type=int, default=0)
    scan.add_argument("--metric", default="contrast")
    loading(scan)
    scan.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
    scan.add_argument("--json", action="store_true", help="print the summary as JSON")
    scan.set_defaults(run=_scan)


def _scan(asked: argparse.Namespace) -> None:
    from ivx.analyses.effects.request import ScanRequest
    from ivx.cli.main import summarise, text
    from ivx.cli.output import report

    report(ScanRequest, asked, summary=lambda found: summarise(found, asked.metric), words=text)
