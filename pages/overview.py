"""Where does the instruction live, can it be read there, and do layers act together?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import overview, parts  # noqa: E402  (the frame comes first)

overview.show(parts.theme())
