"""Do layers act together?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import interactions, parts  # noqa: E402  (the frame comes first)

p = parts.theme()
request, what, metric = interactions.controls()
parts.title(interactions.question(request), interactions.lede(request))
interactions.show(request, what, metric, p)
