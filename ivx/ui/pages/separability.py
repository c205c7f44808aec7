"""Can the instruction be read, and is what is read used?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.separability import page

p = pieces.theme()
asked = page.controls()
pieces.title("Can the instruction be read, and is what is read used?", page.LEDE)
page.show(asked, p)
