"""Do layers act together?"""

from __future__ import annotations

from ivx.ui.interactions import page
from ivx.ui.kit import pieces

p = pieces.theme()
request, what, metric = page.controls()
pieces.title(page.question(request), page.lede(request))
page.show(request, what, metric, p)
