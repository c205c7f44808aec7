"""The command that tells everything of one checkpoint: `python -m ivx inspect`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ivx.analyses.effects.request import EffectsRequest
from ivx.cli.arguments import help_of
from ivx.cli.output import add_ray


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    told = help_of(EffectsRequest)
    parser = commands.add_parser(
        "inspect", help="everything of one checkpoint in one HTML file: behaviour, place, maps, probes, pairs, pathways"
    )
    parser.add_argument("checkpoint", help=told["checkpoint"])
    parser.add_argument("--task", default="", help="by default the one that the model follows most")
    parser.add_argument("--quick", action="store_true", help="compute on few samples what is not stored")
    parser.add_argument("--parts", default="", help="comma-separated, such as behaviour,place (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="default: ivx-CHECKPOINT.html here")
    parser.add_argument("--latex", type=Path, metavar="FILE.tex", help="write the tables as LaTeX, too")
    for name in ("dtype", "device", "weights"):
        parser.add_argument(f"--{name}", default="auto", help=f"{told[name]} (default: auto)")
    parser.add_argument("--adapter", help=told["adapter"])
    add_ray(parser)
    parser.set_defaults(run=_inspect)


def _inspect(asked: argparse.Namespace) -> None:
    from ivx.cli.output import plain
    from ivx.report.inspection import check_name, inspect
    from ivx.report.parts import PARTS

    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(asked.checkpoint).name)[:80]
    out = asked.out or Path(f"ivx-{stem}.html")
    check_name(out, ".html")
    if asked.latex is not None:
        check_name(asked.latex, ".tex")
    found = inspect(
        asked.checkpoint,
        asked.task,
        quick=asked.quick,
        parts=tuple(filter(None, asked.parts.split(","))) or tuple(part.name for part in PARTS),
        dtype=asked.dtype,
        device=asked.device,
        adapter=asked.adapter,
        weights=asked.weights,
        on_step=lambda said: print(plain(said), file=sys.stderr, flush=True),
    )
    for path in filter(None, (out, asked.latex)):
        found.save(path)
        print(path)
