"""Seconds of the statistics of one large map: 64 × 64 cells of 100 samples, and the pages that wait for them.

python benchmarks/verdicts.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ivx.stats.flips import sign_flip  # noqa: E402  (the folder is not a package that is installed)
from ivx.stats.intervals import mean_interval  # noqa: E402
from ivx.stats.verdict import verdicts  # noqa: E402


def main() -> None:
    """Print the processor's seconds of each part, the best of three."""
    values = np.random.default_rng(0).normal(size=(4096, 100))
    parts = {
        "interval": lambda: mean_interval(values),
        "sign flips": lambda: sign_flip(values),
        "verdicts": lambda: verdicts(values, values[::-1], floor=0.1),
    }
    for name, part in parts.items():
        seconds = []
        for _ in range(3):
            began = time.process_time()
            part()
            seconds.append(time.process_time() - began)
        print(f"{name:12}{min(seconds):6.2f} s")


if __name__ == "__main__":
    main()
