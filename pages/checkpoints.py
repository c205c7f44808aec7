"""Can this checkpoint be trusted?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import checkpoints, parts  # noqa: E402  (the frame comes first)

parts.theme()
parts.title(
    "Can this checkpoint be trusted?",
    "Every fact that a patch relies on is proved on the checkpoint itself before it is used.",
)
checkpoints.show()
