"""Can the instruction be read, and is what is read used?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import parts, separability  # noqa: E402  (the frame comes first)

p = parts.theme()
asked = separability.controls()
parts.title("Can the instruction be read, and is what is read used?", separability.LEDE)
separability.show(asked, p)
