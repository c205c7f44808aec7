"""Which states carry the instruction?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.analysis.metrics import METRICS  # noqa: E402  (the frame comes first)
from ivx.ui import effects, parts  # noqa: E402

p = parts.theme()
request, metric = effects.controls()
parts.title(
    "Which states carry the instruction?",
    "Each cell replaces one activation of the bare prompt by the instructed run’s and reports how far the answer "
    "moves: "
    f"{METRICS[metric].about}.",
)
effects.show(request, metric, p)
