"""The command about the vectors of several checkpoints in each of them: `python -m ivx exchange`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ivx.analyses.transplant.request import TransplantRequest
from ivx.cli.arguments import help_of
from ivx.cli.output import add_files, add_ray, bar_of_part, check_files, report, write_shown
from ivx.numeral import integer

TEXTS = {
    "source_token": "t_inst",
    "position": "first",
    "layers": "",
    "target_format": "prompt",
    "template": "",
    "system": "",
    "spelling": "auto",
    "dtype": "auto",
    "device": "auto",
    "weights": "auto",
}
NUMBERS = {"samples": 40, "demonstrations": 0, "seed": 0}


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    told = help_of(TransplantRequest)
    parser = commands.add_parser(
        "exchange", help="what each checkpoint's vectors do in each: did post-training teach the vector or its readers?"
    )
    parser.add_argument(
        "--checkpoints", required=True, help="comma-separated, the earliest first, checkpoint+adapter too; or a family"
    )
    parser.add_argument("--tasks", required=True, help="comma-separated, such as animal/colour")
    parser.add_argument("--against", help=told["against"])
    for name, text in TEXTS.items():
        shown = f" (default: {text})" if text else ""
        parser.add_argument(f"--{name.replace('_', '-')}", default=text, help=told[name] + shown)
    for name, number in NUMBERS.items():
        parser.add_argument(f"--{name}", type=integer, default=number, help=f"{told[name]} (default: {number})")
    parser.add_argument("--wording", type=integer, help=told["wording"])
    parser.add_argument("--matched", action="store_true", help=told["matched"])
    parser.add_argument("--metric", default="contrast")
    add_ray(parser)
    add_files(parser, "every number")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=_exchange)


def _exchange(asked: argparse.Namespace) -> None:
    from ivx.analyses.base import Words
    from ivx.analyses.compare.text import text_of
    from ivx.jobs.exchange import exchange
    from ivx.stats.metrics import find

    find(asked.metric)
    check_files(asked)
    found = exchange(
        tuple(filter(None, asked.checkpoints.split(","))),
        tuple(filter(None, asked.tasks.split(","))),
        against=asked.against,
        matched=asked.matched,
        wording=asked.wording,
        on_progress=bar_of_part if sys.stderr.isatty() else None,
        **{name: getattr(asked, name) for name in (*TEXTS, *NUMBERS)},
    )
    write_shown(found, asked, asked.metric)
    report(found, found.summary(asked.metric), out=asked.out, as_json=asked.json, words=Words(text_of).text)
