"""Where does each model carry each instruction?"""

from __future__ import annotations

from ivx.ui.atlas import page
from ivx.ui.kit import pieces

p = pieces.theme()
asked = page.controls()
pieces.title(page.QUESTION, page.lede(asked))
page.show(asked, p)
