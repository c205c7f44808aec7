"""How much of the vector does it take?"""

from __future__ import annotations

from ivx.ui.bench import page
from ivx.ui.kit import pieces

p = pieces.theme()
asked = page.controls()
pieces.title(
    "How much of the vector does it take?",
    "The mean state of T_inst over all wordings of an instruction goes into prompts that were not told, at one layer "
    "and at strength α: do they follow now?",
)
page.show(asked, p)
