"""What do you expect, before you look?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.lessons import page

page.show(pieces.theme())
