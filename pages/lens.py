"""What does one state change?"""

from __future__ import annotations

from ivx.ui import frame

frame.begin()

from ivx.ui import lens, parts  # noqa: E402  (the frame comes first)

p = parts.theme()
prompts = lens.controls()
parts.title(
    "What does one state change?",
    "Each cell reads a layer’s stream at one token with the model’s own last norm and unembedding. <b>Click a cell of "
    "the source, then a cell of the target</b>: the state is put there, and everything later is computed anew.",
)
lens.show(prompts, p)
