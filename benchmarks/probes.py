"""Processor seconds of one place's probes and planes on random states: `python benchmarks/probes.py [--width 4096]`.

A model of 32 layers has 161 distinct places: five sites a layer, and what enters the first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ivx.analyses.separability.probes import probe  # noqa: E402  (where this folder lies, ivx need not be installed)
from ivx.analyses.separability.projection import lda, pca  # noqa: E402
from ivx.analyses.separability.splits import Examples  # noqa: E402


def examples(tasks: int, wordings: int, families: int) -> Examples:
    """Tasks whose wordings are spread evenly over shared families."""
    labels = np.repeat(np.arange(tasks), wordings)
    return Examples(
        labels=labels,
        families=tuple(f"family {k % families}" for k in range(len(labels))),
        texts=tuple(f"wording {k}" for k in range(len(labels))),
        classes=tuple(f"task {k}" for k in range(tasks)),
        problems=(tuple(range(tasks)),),
    )


def main() -> None:
    """Print seconds by part, and what all places would take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write what was measured so far to this JSON file, after each place")
    for name, value in (("width", 4096), ("tasks", 8), ("wordings", 200), ("folds", 5), ("repeats", 3), ("places", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    every = examples(asked.tasks, asked.wordings, families=15)
    splits = every.splits(folds=asked.folds, repeats=asked.repeats)
    halves = every.splits(folds=2, repeats=1)[0]
    draw, spent = np.random.default_rng(0), 0.0
    began, told_of = time.monotonic(), []
    for place in range(asked.places):
        centres = 0.3 * (place % 3) * draw.normal(size=(asked.tasks, asked.width))
        states = (draw.normal(size=(len(every.labels), asked.width)) + centres[every.labels]).astype(np.float32)
        marks = [time.process_time()]
        found = probe(states, every, splits)
        marks.append(time.process_time())
        for plane in (pca, lda):
            plane(states, every.labels, halves)
            marks.append(time.process_time())
        seconds = np.diff(marks)
        spent += marks[-1] - marks[0]
        told = ", ".join(f"{name} {s:.2f}" for name, s in zip(("probes", "pca", "lda"), seconds, strict=True))
        told_of.append({"processor_seconds": round(marks[-1] - marks[0], 2), "load": round(os.getloadavg()[0], 1)})
        if asked.out is not None:
            about = {name: value for name, value in vars(asked).items() if name != "out"}
            elapsed = round(time.monotonic() - began, 1)
            asked.out.write_text(json.dumps({"asked": about, "elapsed_seconds": elapsed, "each": told_of}, indent=1))
        print(f"place {place}: accuracy {found.values['accuracy'].mean():.3f}; seconds: {told}", flush=True)
    for places in (32, 161):
        print(f"{places} places: {places * spent / asked.places / 60:.1f} minutes of one core")


if __name__ == "__main__":
    main()
