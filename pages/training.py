"""When does the instruction vector become causal?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import parts, training  # noqa: E402  (the frame comes first)

p = parts.theme()
asked = training.controls()
training.show(asked, p)
