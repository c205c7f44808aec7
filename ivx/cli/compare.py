"""The command about several checkpoints: `python -m ivx compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ivx.cli.arguments import options
from ivx.cli.output import add_ray, bar_of_part, check_files, report
from ivx.numeral import integer
from ivx.request import WAY, InstructionRequest
from ivx.vocabulary import POSITION_WORDS, SOURCE_WORDS


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    compare = commands.add_parser("compare", help="2 to 6 checkpoints side by side, and what differs between them")
    compare.add_argument("--checkpoints", required=True, help="comma-separated, the earliest first; or a family: tiny")
    compare.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    compare.add_argument("--against", help="contrast task (default: the task's natural one)")
    compare.add_argument(
        "--parts",
        default="effects,separability,interactions,vectors",
        help="of effects, separability, interactions, vectors (default: all)",
    )
    compare.add_argument("--transplant", action="store_true", help="patch each one's vectors into each")
    compare.add_argument("--matched", action="store_true", help="give them the norm of the receiver's own vectors")
    compare.add_argument(
        "--source-token", default="t_inst", help=f"{', '.join(SOURCE_WORDS)} or an index (default: t_inst)"
    )
    compare.add_argument(
        "--position", default="first", help=f"of pairs and transplants: {', '.join(POSITION_WORDS)} or an index"
    )
    options(compare, InstructionRequest, WAY)
    compare.add_argument("--samples", type=integer, default=40)
    compare.add_argument("--pair-samples", type=integer, default=100, help="of the interactions (default: 100)")
    compare.add_argument("--tasks", default="all", help="tasks that probes tell apart (default: all)")
    compare.add_argument("--wordings", type=integer, default=40, help="of each of them (default: 40)")
    compare.add_argument("--seed", type=integer, default=0)
    compare.add_argument("--metric", default="contrast")
    compare.add_argument("--dtype", default="auto", help="auto, float32, float64, bfloat16 or float16")
    compare.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; several by commas")
    compare.add_argument("--weights", default="auto", help="auto, whole, compact or stream (default: auto)")
    add_ray(compare)
    compare.add_argument("--out", type=Path, help="write every number to FILE.parquet, .csv or .json")
    compare.add_argument("--json", action="store_true", help="print the summary as JSON")
    compare.set_defaults(run=_compare)


def _compare(asked: argparse.Namespace) -> None:
    from ivx.analyses.base import Words
    from ivx.jobs.compare import compare
    from ivx.stats.metrics import find

    find(asked.metric)
    check_files(asked)
    names = tuple(filter(None, asked.checkpoints.split(",")))
    told = {
        name: getattr(asked, name)
        for name in ("against", "source_token", "position", "samples", "pair_samples", "wordings", *WAY)
    }
    found = compare(
        names,
        asked.task,
        parts=tuple(filter(None, asked.parts.split(","))),
        transplant=asked.transplant,
        matched=asked.matched,
        tasks=tuple(filter(None, asked.tasks.split(","))),
        seed=asked.seed,
        dtype=asked.dtype,
        device=asked.device,
        weights=asked.weights,
        on_progress=bar_of_part if sys.stderr.isatty() else None,
        **told,
    )
    report(found, found.summary(asked.metric), out=asked.out, as_json=asked.json, words=Words(_text).text)


def _text(summary: dict[str, Any]) -> str:
    """Accuracies, then by checkpoint and step the strongest findings, cosines by layer, and the transplants' best."""
    asked = summary["request"]
    lines = [f"{', '.join(asked['checkpoints'])}: {asked['task']}, n = {asked['samples']}, {summary['metric']}"]
    for row in summary["accuracies"]:
        kind = "" if row["kind"] is None else f", an answer of the kind asked for {row['kind']:.0%}"
        lines.append(f"{row['checkpoint']:24} told: right {row['answer']:.0%}{kind}; untold {row['untold']:.0%}")
    for row in _strongest(summary["effects"], ("checkpoint",)):
        lines.append(f"{row['checkpoint']:24} strongest effect {_number(row)}, control {_signed(row['control'])}")
    for row in _strongest(summary["differences"], ("before", "checkpoint")):
        what = f"{row['checkpoint']} − {row['before']}"
        lines.append(f"{what:40} largest difference {_number(row)}, control {_signed(row['control'])}")
    for before, after in dict.fromkeys((row["before"], row["checkpoint"]) for row in summary["cosines"]):
        mine = [r for r in summary["cosines"] if (r["before"], r["checkpoint"]) == (before, after)]
        shown = " ".join(f"{row['whole']:.2f}" for row in mine)
        lines.append(f"{after} with {before}: cosine of the vectors by layer {shown}")
    for row in _strongest(summary["transplant"], ("donor", "checkpoint")):
        what = f"{row['donor']} into {row['checkpoint']}"
        lines.append(
            f"{what:40} strongest {_number(row)}, control {_signed(row['control'])}; norm {row['norm']:.1f}, "
            f"own {row['own_norm']:.1f}"
        )
    notes = [f"note: {warning}" for warning in summary["warnings"]]
    return "\n".join([*lines, *(f"not compared: {reason}" for reason in summary["refused"]), *notes])


def _strongest(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The strongest finding of each group; where it has none, the strongest cell, as its state shows."""
    best: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        if key not in best or (row["state"] == "ok", abs(row["value"])) > (
            best[key]["state"] == "ok",
            abs(best[key]["value"]),
        ):
            best[key] = row
    return list(best.values())


def _number(row: dict[str, Any]) -> str:
    said = {"ok": "", "control": " (no better than its control)", "zero": " (not different from 0)"}[row["state"]]
    return f"{row['patch']} {row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}], p {row['p']:.4f}{said}"


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f}"
