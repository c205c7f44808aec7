"""Do the heads look elsewhere, or read something else?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.mechanism import page

p = pieces.theme()
request, metric = page.controls()
pieces.title("Do the heads look elsewhere, or read something else?", page.LEDE)
page.show(request, metric, p)
