"""Does it do what it is told, and in which words?"""

from __future__ import annotations

from ivx.ui.behaviour import page
from ivx.ui.kit import pieces

p = pieces.theme()
request = page.controls()
pieces.title("Does it do what it is told, and in which words?", page.LEDE)
page.show(request, p)
