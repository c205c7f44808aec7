"""The command about all pairs of checkpoints and tasks: `python -m ivx atlas`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ivx.cli.output import DRAWERS, add_ray, bar_of_part, check_files, report, save
from ivx.errors import IvxError
from ivx.numeral import integer


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    atlas = commands.add_parser(
        "atlas",
        help="of every checkpoint and task the cell that moves the answer most; what is stored is not recomputed",
    )
    atlas.add_argument(
        "--checkpoints", required=True, help="comma-separated, checkpoint+adapter too; or a family: tiny"
    )
    atlas.add_argument("--tasks", default="all", help="comma-separated, such as animal/colour (default: all)")
    atlas.add_argument("--samples", type=integer, default=40, help="queries of each pair (default: 40)")
    atlas.add_argument("--metric", default="contrast", help="what cells are ranked by (default: contrast)")
    atlas.add_argument("--as-published", action="store_true", help="ask as the paper does; see effects")
    atlas.add_argument("--stored", action="store_true", help="compute nothing: show what is stored")
    atlas.add_argument("--seed", type=integer, default=0, help="of what is drawn at random (default: 0)")
    for name in ("dtype", "device", "weights"):
        atlas.add_argument(f"--{name}", default="auto", help="as for effects (default: auto)")
    add_ray(atlas)
    atlas.add_argument("--out", type=Path, help="write the ten strongest cells of each to FILE.parquet, .csv or .json")
    atlas.add_argument("--figure", type=Path, metavar="FILE", help="write the picture to FILE.svg or .png")
    atlas.add_argument("--latex", type=Path, metavar="FILE.tex", help="write a table for a paper (booktabs)")
    atlas.add_argument("--json", action="store_true", help="print the summary as JSON")
    atlas.set_defaults(run=_atlas)


def _atlas(asked: argparse.Namespace) -> None:
    from ivx.analyses.compare.atlas import text_of
    from ivx.formats import pictures
    from ivx.jobs.atlas import atlas

    check_files(asked)
    if asked.latex is not None and asked.latex.suffix != ".tex":
        raise IvxError(f"--latex {asked.latex}: its name must end in .tex")
    found = atlas(
        tuple(filter(None, asked.checkpoints.split(","))),
        tuple(filter(None, asked.tasks.split(","))),
        metric=asked.metric,
        samples=asked.samples,
        published=asked.as_published,
        seed=asked.seed,
        stored=asked.stored,
        dtype=asked.dtype,
        device=asked.device,
        weights=asked.weights,
        on_progress=bar_of_part if sys.stderr.isatty() else None,
    )
    if asked.latex is not None:
        save(found.latex().encode(), asked.latex)
    if asked.figure is not None:
        spec = found.figure()
        drawn = pictures.svg(spec) if asked.figure.suffix == DRAWERS[0] else pictures.png(spec)
        save(drawn.encode() if isinstance(drawn, str) else drawn, asked.figure)
    report(found, found.summary(), out=asked.out, as_json=asked.json, words=text_of)
