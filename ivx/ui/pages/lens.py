"""What does one state change?"""

from __future__ import annotations

from ivx.ui.kit import pieces
from ivx.ui.lens import page

p = pieces.theme()
prompts = page.controls()
pieces.title(
    "What does one state change?",
    "Each cell reads a layer’s stream at one token with the model’s own last norm and unembedding. <b>Click a cell of "
    "the source, then a cell of the target</b>: the state is put there, and everything later is computed anew.",
)
page.show(prompts, p)
