"""Where does the instruction live, can it be read there, and do layers act together?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.overview import page

page.show(pieces.theme())
