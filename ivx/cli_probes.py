"""The command about what can be read from states: `python -m ivx separability`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add(commands: Any, loading: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command to the parser of `ivx.cli`; `loading` adds the options that say what to load."""
    separability = commands.add_parser("separability", help="how well tasks can be told apart from states, by layer")
    separability.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    separability.add_argument("--tasks", default="all", help="comma-separated names or files, or all (default: all)")
    separability.add_argument(
        "--component", "--components", dest="components", default="resid_post", help="comma-separated sites"
    )
    separability.add_argument("--position", default="t_inst", help="t_inst, keyword or an index (default: t_inst)")
    separability.add_argument("--pairs", action="store_true", help="each task against its contrast task only")
    separability.add_argument("--wordings", type=int, default=60, help="per task (default: 60)")
    separability.add_argument("--folds", type=int, default=5)
    separability.add_argument("--repeats", type=int, default=3)
    separability.add_argument("--projections", default="pca,lda", help="pca, lda, umap (default: pca,lda)")
    separability.add_argument("--seed", type=int, default=0)
    loading(separability)
    separability.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
    separability.add_argument("--json", action="store_true", help="print the summary as JSON")
    separability.set_defaults(run=_separability)


def _separability(asked: argparse.Namespace) -> None:
    from ivx.cli import answered, check_out, write
    from ivx.runs.request import SeparabilityRequest

    check_out(asked.out)
    found = answered(SeparabilityRequest, asked)
    if asked.out is not None:
        write(found, asked.out)
    summary = found.summary()
    print(json.dumps(summary, indent=1) if asked.json else _text(summary))


def _text(summary: dict[str, Any]) -> str:
    """A line a place, layers upward, the baselines first."""
    request, baselines = summary["request"], summary["baselines"]
    what = "pairs of " if request["pairs"] else ""
    lines = [
        f"{request['checkpoint']}, {what}{len(summary['tasks'])} tasks, {summary['samples']} wordings at "
        f"{request['position']}, run {summary['run']}",
        f"held-out accuracy by paraphrase family, {request['repeats']} × {request['folds']} folds; "
        f"chance {summary['chance']:.0%}",
        f"{'component':14}layer  accuracy  95 % interval  control  selectivity  95 % interval  other probes",
    ]
    cells = [*baselines.values(), *summary["layers"]]
    for cell in cells:
        layer = f"L{cell['layer']}" if cell["layer"] >= 0 else ""
        more = f"centroid {cell['centroid']:.0%}, RBF {cell['nonlinear']:.0%}" if "centroid" in cell else ""
        lines.append(
            f"{cell['component']:14}{layer:>5}{cell['accuracy']:10.1%}  [{_span(cell, 'accuracy')}]"
            f"{cell['control']:9.0%}{cell['selectivity']:13.0%}  [{_span(cell, 'selectivity')}]  {more}"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def _span(cell: dict[str, Any], name: str) -> str:
    return f"{cell[f'{name}_low']:5.0%}, {cell[f'{name}_high']:5.0%}"
