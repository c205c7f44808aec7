"""Where does the instruction act, and who reads it there?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.place import page

p = pieces.theme()
request, metric = page.controls()
pieces.title("Where does the instruction act, and who reads it there?", page.lede())
page.show(request, metric, p)
