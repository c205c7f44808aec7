"""What was computed, and can it be trusted still?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.library import runs

pieces.theme()
pieces.title(
    "What was computed, and does it still hold?",
    "Every result is kept with its receipt and never computed twice; open it, go on with it, replay some of its rows, "
    "or take it elsewhere.",
)
runs.show()
