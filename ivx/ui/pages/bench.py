"""How much of the vector does it take?"""

from __future__ import annotations

from ivx.ui.bench import page
from ivx.ui.kit import pieces

p = pieces.theme()
asked = page.controls()
pieces.title(
    "How much of the vector does it take?",
    "The mean state of T_inst over all wordings goes into untold prompts, at one layer and strength α: do they follow?",
)
page.show(asked, p)
