"""What is asked, and what do the models see?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.library import tasks

pieces.theme()
pieces.title(
    "What is asked, and what does the model see?",
    "A task is one instruction in many wordings; its contrast asks something else of the same queries.",
)
tasks.show()
