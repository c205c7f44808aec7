"""The same analyses without a browser: `python -m ivx effects | interactions | tasks | …`, and those of `cli_*`.

A user's mistake is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ivx
from ivx import cli_app, cli_pathways, cli_probes, cli_scan
from ivx.cli import compare, runs
from ivx.cli.output import loading, plain, report
from ivx.cli.tasks import show_checkpoints, show_doctor, show_tasks
from ivx.errors import IvxError

if TYPE_CHECKING:
    from ivx.analyses.effects.result import Effects
    from ivx.analyses.interactions.result import Interactions


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    asked = _parser().parse_args(argv)
    try:
        return int(asked.run(asked) or 0)
    except IvxError as error:
        print(f"ivx: {plain(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ivx", description=ivx.__doc__)
    parser.add_argument("--version", action="version", version=ivx.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    effects = commands.add_parser("effects", help="effect of patching, by layer and position or head")
    effects.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    effects.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    effects.add_argument("--against", help="contrast task (default: the task's natural one)")
    effects.add_argument("--sites", default="resid_post", help="comma-separated (default: resid_post)")
    effects.add_argument("--position", default="all", help="all, first, query, last or an index (default: all)")
    effects.add_argument("--source-token", default="t_inst", help="t_inst, keyword or an index (default: t_inst)")
    effects.add_argument("--direction", default="denoise", help="denoise, noise, zero, mean or resample")
    effects.add_argument("--controls", default="task", help="of task, random, neutral, shuffled (default: task)")
    effects.add_argument("--target-format", default="prompt", help="prompt, query, filler or chat")
    effects.add_argument("--samples", type=int, default=40)
    effects.add_argument("--seed", type=int, default=0)
    effects.add_argument("--metric", default="contrast")
    loading(effects)
    effects.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
    effects.add_argument("--json", action="store_true", help="print the summary as JSON")
    effects.set_defaults(run=_effects)

    interactions = commands.add_parser("interactions", help="what patches do together beyond their sum")
    interactions.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    interactions.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    interactions.add_argument("--against", help="contrast task (default: the task's natural one)")
    interactions.add_argument("--sites", default="resid_post", help="comma-separated (default: resid_post)")
    interactions.add_argument("--over", default="layers", help="layers, heads, components or positions")
    interactions.add_argument("--position", default="first", help="first, query, last or an index; all over positions")
    interactions.add_argument("--source-token", default="t_inst", help="t_inst, keyword or an index (default: t_inst)")
    interactions.add_argument("--order", type=int, default=2, help="2 for pairs, 3 for triples too (default: 2)")
    interactions.add_argument(
        "--controls", default="task,random", help="of task, random, neutral, shuffled (default: task,random)"
    )
    interactions.add_argument("--target-format", default="prompt", help="prompt, query, filler or chat")
    interactions.add_argument("--samples", type=int, default=40)
    interactions.add_argument("--seed", type=int, default=0)
    interactions.add_argument("--metric", default="contrast")
    interactions.add_argument(
        "--published-test", action="store_true", help="add the p of the paper's own script, which passes at any data"
    )
    loading(interactions)
    interactions.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
    interactions.add_argument("--json", action="store_true", help="print the summary as JSON")
    interactions.set_defaults(run=_interactions)

    tasks = commands.add_parser("tasks", help="list tasks, or preview one with its tokens")
    tasks.add_argument("task", nargs="?", help="a task's name or a user's file")
    tasks.add_argument("--checkpoint", default="tiny-sft", help="whose tokenizer and collection to use")
    tasks.add_argument("--against")
    tasks.add_argument("--samples", type=int, default=2)
    tasks.add_argument("--target-format", default="prompt")
    tasks.set_defaults(run=show_tasks)

    doctor = commands.add_parser("doctor", help="prove the facts that patches rely on, on one checkpoint")
    doctor.add_argument("checkpoint")
    loading(doctor)
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(run=show_doctor)

    checkpoints = commands.add_parser("checkpoints", help="the checkpoints known by name")
    checkpoints.add_argument("--json", action="store_true")
    checkpoints.set_defaults(run=show_checkpoints)
    cli_scan.add(commands)
    cli_probes.add(commands, loading)
    cli_pathways.add(commands)
    compare.add(commands)
    runs.add(commands)
    cli_app.add(commands)
    return parser


def _effects(asked: argparse.Namespace) -> None:
    from ivx.analyses.effects.request import EffectsRequest

    report(EffectsRequest, asked, summary=lambda found: summarise(found, asked.metric), words=text)


def _interactions(asked: argparse.Namespace) -> None:
    from ivx.analyses.interactions.request import InteractionsRequest
    from ivx.analyses.interactions.text import text_of
    from ivx.stats.published import LABEL

    def summary(found: Interactions) -> dict[str, Any]:
        told = found.summary(asked.metric)
        if asked.published_test:
            told["published_test"] = {"label": LABEL, "p": found.published_test(asked.metric)}
        return told

    report(InteractionsRequest, asked, summary=summary, words=text_of)


def summarise(found: Effects, metric: str) -> dict[str, Any]:
    """The result in short: levels of the bare and the told run, and every cell with the levels after its patch."""
    controlled = {site: found.controlled(site, metric) for site in found.maps}
    cells = [
        {
            **asdict(cell),
            "controls": {name: told._asdict() for name, told in controlled[site][cell.patch].items()},
            "label": found.maps[site][cell.column].label,
            "followed": found.level("followed", site=site, patch=cell.patch),
            "preference": found.level("preference", site=site, patch=cell.patch),
        }
        for site in found.maps
        for cell in found.cells(site, metric)
    ]
    levels = {
        name: {"unpatched": found.level(name), "told": found.level(name, role="told")}
        for name in ("followed", "preference")
    }
    return {**found.receipt, "metric": metric, "levels": levels, "cells": cells}


def text(summary: dict[str, Any]) -> str:
    request, levels = summary["request"], summary["levels"]
    names = list(summary["cells"][0]["controls"])
    heads = "".join(f"{name:>12}" for name in names)
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        f"follows {levels['followed']['unpatched']:.0%} unpatched, {levels['followed']['told']:.0%} told",
        f"{'patch':28}{'token':>16}{'effect':>9}  95 % interval  {heads}  state    followed",
    ]
    for cell in summary["cells"]:
        controls = "".join(f"{cell['controls'][name]['mean']:+12.2f}" for name in names)
        lines.append(
            f"{cell['patch']:28}{cell['label']:>16}{cell['value']:+9.2f}  [{cell['low']:+.2f}, {cell['high']:+.2f}]"
            f"{controls}  {cell['state']:8}{cell['followed']:8.0%}"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])
