"""When does the instruction vector become causal?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.training import page

p = pieces.theme()
asked = page.controls()
page.show(asked, p)
