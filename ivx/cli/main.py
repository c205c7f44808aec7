"""The same analyses without a browser: `python -m ivx effects | interactions | tasks | …`, and those of `cli_*`.

A user's mistake is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ivx
from ivx import cli_app, cli_pathways, cli_probes, cli_scan
from ivx.cli import compare, runs
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


def plain(text: str) -> str:
    """Text on one line, without what a terminal would obey: it may come from a file that anybody made."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


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
    tasks.set_defaults(run=_tasks)

    doctor = commands.add_parser("doctor", help="prove the facts that patches rely on, on one checkpoint")
    doctor.add_argument("checkpoint")
    loading(doctor)
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(run=_doctor)

    checkpoints = commands.add_parser("checkpoints", help="the checkpoints known by name")
    checkpoints.add_argument("--json", action="store_true")
    checkpoints.set_defaults(run=_checkpoints)
    cli_scan.add(commands)
    cli_probes.add(commands, loading)
    cli_pathways.add(commands)
    compare.add(commands)
    runs.add(commands)
    cli_app.add(commands)
    return parser


def loading(parser: argparse.ArgumentParser, *, dtype: str = "auto") -> None:
    """Add the options that say how a checkpoint is loaded."""
    parser.add_argument("--dtype", default=dtype, help="auto, float32, float64, bfloat16 or float16")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--adapter", help="directory of a LoRA adapter to merge")


def _effects(asked: argparse.Namespace) -> None:
    from ivx.analyses.game.request import EffectsRequest

    report(EffectsRequest, asked, summary=lambda found: summarise(found, asked.metric), words=text)


def _interactions(asked: argparse.Namespace) -> None:
    from ivx.analyses.game.request import InteractionsRequest
    from ivx.analyses.interactions.text import text_of
    from ivx.stats.published import LABEL

    def summary(found: Interactions) -> dict[str, Any]:
        told = found.summary(asked.metric)
        if asked.published_test:
            told["published_test"] = {"label": LABEL, "p": found.published_test(asked.metric)}
        return told

    report(InteractionsRequest, asked, summary=summary, words=text_of)


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


def _tasks(asked: argparse.Namespace) -> None:
    from ivx.models.load import load
    from ivx.tasks import catalogue
    from ivx.tasks.preview import listing, preview
    from ivx.tasks.samples import build

    if asked.task is None:
        for collection in catalogue.COLLECTIONS:
            print(f"{collection}\n{listing(catalogue.tasks(collection))}\n")
        return
    model = load(asked.checkpoint, check=False)
    pair = catalogue.find(asked.task, collection=model.collection, against=asked.against)
    samples = build(pair, model.tokenizer, samples=asked.samples, target_format=asked.target_format)
    print(preview(pair, samples, model.tokenizer))


def _doctor(asked: argparse.Namespace) -> int:
    from ivx.models.doctor import checkup, report_text
    from ivx.models.load import load

    model = load(asked.checkpoint, dtype=asked.dtype, device=asked.device, adapter=asked.adapter, check=False)
    report = checkup(model)
    print(json.dumps(report.as_dict(), indent=1) if asked.json else report_text(report))
    return 0 if report.passed else 1


def _checkpoints(asked: argparse.Namespace) -> None:
    from ivx.models.registry import CHECKPOINTS, PUBLIC

    if asked.json:
        print(json.dumps([asdict(checkpoint) for checkpoint in (*CHECKPOINTS, *PUBLIC)], indent=1))
        return
    for checkpoint in (*CHECKPOINTS, *PUBLIC):
        print(f"{checkpoint.name:34}{checkpoint.family:12}{checkpoint.stage:10}{checkpoint.about}")
