"""What do you expect, before you look?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import lessons, parts  # noqa: E402  (the frame comes first)

lessons.show(parts.theme())
