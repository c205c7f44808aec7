"""Which states carry the instruction?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import effects, parts  # noqa: E402  (the frame comes first)

p = parts.theme()
request, metric = effects.controls()
parts.title("Which states carry the instruction?", effects.lede(request, metric))
effects.show(request, metric, p)
