"""Can this checkpoint be trusted?"""

from __future__ import annotations

from ivx.models.library import ALONE
from ivx.ui.kit import pieces

with ALONE:  # the device's thread may be importing transformers, too
    from ivx.ui.library import checkpoints

pieces.theme()
pieces.title(
    "Can this checkpoint be trusted?",
    "Every fact that a patch relies on is proved on the checkpoint itself before it is used.",
)
checkpoints.show()
