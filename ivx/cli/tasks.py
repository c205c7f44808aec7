"""The commands about what is there: `python -m ivx tasks | doctor | checkpoints`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def show_tasks(asked: argparse.Namespace) -> None:
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


def show_doctor(asked: argparse.Namespace) -> int:
    from ivx.models.doctor import checkup, report_text
    from ivx.models.load import load

    model = load(asked.checkpoint, dtype=asked.dtype, device=asked.device, adapter=asked.adapter, check=False)
    report = checkup(model)
    print(json.dumps(report.as_dict(), indent=1) if asked.json else report_text(report))
    return 0 if report.passed else 1


def show_checkpoints(asked: argparse.Namespace) -> None:
    from ivx.models.registry import CHECKPOINTS, PUBLIC

    if asked.json:
        print(json.dumps([asdict(checkpoint) for checkpoint in (*CHECKPOINTS, *PUBLIC)], indent=1))
        return
    for checkpoint in (*CHECKPOINTS, *PUBLIC):
        print(f"{checkpoint.name:34}{checkpoint.family:12}{checkpoint.stage:10}{checkpoint.about}")
