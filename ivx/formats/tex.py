"""Text in LaTeX."""

from __future__ import annotations

_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "“": "``",
    "”": "''",
    "’": "'",
    "‘": "`",
    "–": "--",
    "…": r"\ldots{}",
    **dict.fromkeys("▁Ġ", r"\textvisiblespace{}"),
}
"""What LaTeX would read otherwise, or its plain fonts lack; a tokenizer's spaces are drawn as such."""


def escaped(text: str) -> str:
    """Text as LaTeX prints it; a letter that its plain fonts lack becomes a question mark."""
    return "".join(_SPECIAL.get(c) or (c if c.isascii() or c.isalpha() and ord(c) < 0x250 else "?") for c in text)
