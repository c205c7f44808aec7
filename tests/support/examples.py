"""Made-up examples for probes."""

from __future__ import annotations

import numpy as np

from ivx.analyses.separability.splits import Examples


def made(tasks: int = 4, wordings: int = 30, families: int = 10) -> Examples:
    """Examples whose families hold wordings of every task."""
    labels = np.tile(np.arange(tasks), wordings)
    return Examples(
        labels=labels,
        families=tuple(f"family {k // tasks % families}" for k in range(len(labels))),
        texts=tuple(f"wording {k} of task {label}" for k, label in enumerate(labels)),
        classes=tuple("abcdefgh"[:tasks]),
        problems=(tuple(range(tasks)),),
    )
