"""The commands about what can be read from states: `python -m ivx separability | erasure`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add(commands: Any, loading: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands to the parser of `ivx.cli.main`; `loading` adds the options that say what to load."""
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
    separability.set_defaults(run=_separability)

    erasure = commands.add_parser("erasure", help="a vector's effect without what tells tasks apart in it, by layer")
    erasure.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    erasure.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    erasure.add_argument("--against", help="contrast task (default: the task's natural one)")
    erasure.add_argument("--tasks", default="all", help="whose difference is removed (default: all)")
    erasure.add_argument("--component", default="resid_post", help="a site but z (default: resid_post)")
    erasure.add_argument("--position", default="first", help="first, query, last or an index (default: first)")
    erasure.add_argument("--source-token", default="t_inst", help="t_inst, keyword or an index (default: t_inst)")
    erasure.add_argument("--target-format", default="prompt", help="prompt, query, filler or chat")
    erasure.add_argument("--samples", type=int, default=40)
    erasure.add_argument("--wordings", type=int, default=60, help="per task (default: 60)")
    erasure.add_argument("--folds", type=int, default=3)
    erasure.add_argument("--seed", type=int, default=0)
    erasure.add_argument("--metric", default="contrast")
    erasure.set_defaults(run=_erasure)

    for command in (separability, erasure):
        loading(command)
        command.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
        command.add_argument("--json", action="store_true", help="print the summary as JSON")


def _separability(asked: argparse.Namespace) -> None:
    from ivx.analyses.separability.request import SeparabilityRequest
    from ivx.cli.output import report

    report(SeparabilityRequest, asked, summary=lambda found: found.summary(), words=_text)


def _erasure(asked: argparse.Namespace) -> None:
    from ivx.analyses.erasure.request import ErasureRequest
    from ivx.cli.output import report

    report(ErasureRequest, asked, summary=lambda found: found.summary(asked.metric), words=_erased_text)


def _erased_text(summary: dict[str, Any]) -> str:
    request = summary["request"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        f"{'patch':24}{'whole':>7}{'erased':>8}{'random':>8}{'lost':>8}  95 % interval   state    edit, random edit",
    ]
    for cell in summary["cells"]:
        lost = cell["lost"]
        lines.append(
            f"{cell['patch']:24}{cell['whole']:+7.2f}{cell['erased']:+8.2f}{cell['random']:+8.2f}"
            f"{lost['value']:+8.2f}  [{lost['low']:+.2f}, {lost['high']:+.2f}]  {lost['state']:8}"
            f"{cell['moved']:.0%}, {cell['moved_random']:.0%}"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


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
