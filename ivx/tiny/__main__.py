"""`python -m ivx.tiny [train]` makes the embedded family; `evaluate` measures it, `runs` what the first page shows.
`planted` makes the checkpoints whose circuits are set by hand."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

from ivx.models.registry import CHECKPOINTS, EMBEDDED, RUNS, Checkpoint


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ivx.tiny", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="command")
    train = commands.add_parser("train", help="base, SFT, its twin and DPO, then their cards (the default)")
    evaluate = commands.add_parser("evaluate", help="measure checkpoints and print the cards' tables")
    commands.add_parser("runs", help="compute what the first page shows of them, and write it beside the weights")
    planted = commands.add_parser("planted", help="write the checkpoints whose weights are set by hand")
    planted.add_argument("--out", type=Path, default=EMBEDDED)
    for command in (parser, train):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--out", type=Path, default=EMBEDDED)
        command.add_argument("--spread", default="", help="further seeds, such as 1,2: train and measure them too")
    evaluate.add_argument("--out", type=Path, default=EMBEDDED)
    evaluate.add_argument("--checkpoint", choices=[c.name for c in CHECKPOINTS], help="one of them (default: all)")
    evaluate.add_argument("--check", action="store_true", help="exit 1 where the shipped figures differ")
    evaluate.add_argument("--write", action="store_true", help="write figures and cards beside the weights")
    evaluate.add_argument("--also", type=Path, nargs="*", default=[], help="families of other seeds, for the spread")
    asked = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    torch.use_deterministic_algorithms(True)
    return {"evaluate": _evaluate, "runs": _runs, "planted": _planted}.get(asked.command, _train)(asked)


def _train(asked: argparse.Namespace) -> int:
    from ivx.tiny.train import family

    family(asked.out, seed=asked.seed)
    others = [asked.out / f"seed-{text}" for text in asked.spread.split(",") if text]
    for folder in others:
        family(folder, seed=int(folder.name.removeprefix("seed-")))
    for checkpoint in CHECKPOINTS:
        _write(asked.out, checkpoint, others)
    return 0


def _planted(asked: argparse.Namespace) -> int:
    from ivx.tiny.planted import save

    save(asked.out)
    return 0


def _runs(_: argparse.Namespace) -> int:
    """Compute the runs that come with ivx and are missing; delete those that are no longer wanted."""
    from ivx.jobs.compute import computed
    from ivx.jobs.shipped import is_shipped, ship, shipped
    from ivx.models.fingerprint import of_directory
    from ivx.models.load import load
    from ivx.models.registry import embedded
    from ivx.store.store import Store

    wanted = {}
    for request in shipped():
        known = embedded(request.checkpoint)
        assert known is not None and known.path is not None
        wanted[request.run_id(of_directory(known.path), request.about(known.collection))] = request
    for old in RUNS.glob("*.parquet"):
        if old.stem not in wanted:
            old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for run, request in wanted.items():
            if not is_shipped(run):
                found = store.find(computed(store, load(request.checkpoint), request).run_id)
                assert found is not None and found.id == run
                print(ship(found))
    return 0


def _write(out: Path, checkpoint: Checkpoint, others: list[Path]) -> None:
    from ivx.tiny import card
    from ivx.tiny.evaluate import headline, measure

    figures = measure(out / checkpoint.name)
    seeds = [headline(figures), *(headline(measure(other / checkpoint.name)) for other in others)]
    card.write(out / checkpoint.name, checkpoint, {**figures, "seeds": seeds})
    print(card.table(checkpoint.name, {**figures, "seeds": seeds}))


def _evaluate(asked: argparse.Namespace) -> int:
    from ivx.tiny import card
    from ivx.tiny.evaluate import measure

    differ = 0
    for checkpoint in CHECKPOINTS:
        if asked.checkpoint not in (None, checkpoint.name):
            continue
        if asked.write:
            _write(asked.out, checkpoint, asked.also)
            continue
        folder = asked.out / checkpoint.name
        shipped = json.loads((folder / card.FIGURES).read_text(encoding="utf-8"))
        figures = {**measure(folder), "seeds": shipped["seeds"]}
        print(card.table(checkpoint.name, figures))
        if asked.check and figures != shipped:
            print(f"{checkpoint.name}: these figures differ from {folder / card.FIGURES}", file=sys.stderr)
            differ = 1
    return differ


if __name__ == "__main__":
    sys.exit(main())
