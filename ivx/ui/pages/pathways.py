"""Do both instructions take the same path?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.pathways import page

p = pieces.theme()
request = page.controls()
pieces.title(
    "Do both instructions take the same path?",
    "With attention, norm scales and gates held, the model is linear: the answer’s logit splits exactly over edges, "
    "each one head reading one token for another.",
)
page.show(request, p)
