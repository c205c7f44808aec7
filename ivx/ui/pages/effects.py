"""Which states carry the instruction?"""

from __future__ import annotations

from ivx.ui.effects import page
from ivx.ui.kit import pieces

p = pieces.theme()
request, metric = page.controls()
pieces.title("Which states carry the instruction?", page.lede(request, metric))
page.show(request, metric, p)
