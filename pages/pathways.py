"""Do the two instructions take the same way?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import parts, pathways  # noqa: E402  (the frame comes first)

p = parts.theme()
request = pathways.controls()
parts.title(
    "Do the two instructions take the same way?",
    "With attention, norm scales and gates held, the model is linear: the answer’s logit splits exactly over edges, "
    "each one head reading one token for another.",
)
pathways.show(request, p)
