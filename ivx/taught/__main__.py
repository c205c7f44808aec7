"""`python -m ivx.taught [train]` teaches the real family; `evaluate` measures it and prints its table, `runs` computes
what is shown of it without its weights."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ivx.analyses.family import REAL
from ivx.models.load import load
from ivx.models.model import Model
from ivx.models.registry import ADAPTERS, REAL_RUNS, TAUGHT
from ivx.taught import card, runs
from ivx.taught.evaluate import Figures, measure
from ivx.taught.train import family


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ivx.taught", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="command")
    train = commands.add_parser("train", help="SFT and DPO, then their cards (the default); needs `ivx get smollm2`")
    evaluate = commands.add_parser("evaluate", help="measure the family and print the cards' table")
    commands.add_parser("runs", help="compute the runs that come with ivx, and write them beside the adapters")
    for command in (parser, train):
        command.add_argument("--seed", type=int, default=0)
    for command in (parser, train, evaluate):
        command.add_argument("--out", type=Path, default=ADAPTERS)
    evaluate.add_argument("--check", action="store_true", help="exit 1 where the shipped figures differ")
    evaluate.add_argument("--write", action="store_true", help="write figures and cards beside the adapters")
    asked = parser.parse_args()
    if asked.command == "runs":
        return runs.main(REAL, REAL_RUNS)
    torch.set_num_threads(1)  # sums, and so the adapters, are the same however many cores there are
    torch.use_deterministic_algorithms(True)
    return _evaluate(asked) if asked.command == "evaluate" else _train(asked)


def _train(asked: argparse.Namespace) -> int:
    family(_loaded(None), asked.out, seed=asked.seed)
    found = _measured(asked.out)
    card.write(asked.out, found, seed=asked.seed)
    print(card.table(found))
    return 0


def _evaluate(asked: argparse.Namespace) -> int:
    found = _measured(asked.out)
    print(card.table(found))
    shipped = json.loads((asked.out / card.FIGURES).read_text(encoding="utf-8"))
    if asked.write:
        card.write(asked.out, found, seed=shipped["seed"])
    elif asked.check and found != shipped["found"]:
        print(f"these figures differ from {asked.out / card.FIGURES}", file=sys.stderr)
        return 1
    return 0


def _measured(out: Path) -> dict[str, Figures]:
    return {card.BASE: measure(_loaded(None))} | {one.name: measure(_loaded(out / one.name)) for one in TAUGHT}


def _loaded(adapter: Path | None) -> Model:
    """The base, or the base with an adapter in it: from wherever that lies."""
    found = load(card.BASE, device="cpu", weights="whole", adapter=str(adapter) if adapter else None, ray="")
    return replace(found, name=card.BASE)


if __name__ == "__main__":
    sys.exit(main())
