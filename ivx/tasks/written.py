"""What was written: whether a text begins with an answer, the whole of it and nothing longer.

"Ribbon" begins with an R and is not the answer R, "sixty-four" is not sixty, 10 is not 1. Writing without spaces
between words tells no word's end, so there an answer ends where its characters do.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from ivx.tasks.spelling import cases

_JOINTS = "-'’‐‑"  # noqa: RUF001  (hyphens and apostrophes as they are written)


def forms(answer: str, spelling: str, *, other: Collection[str] = ()) -> tuple[str, ...]:
    """How an answer may be written: as it is given, and in the case of a spelling, or of all where they are summed.

    Args:
        other: texts that are no answer, such as the query and the contrast: where case alone tells the answer from one
            of them, it is the answer in its own case only.
    """
    taken = {_composed(text).strip() for text in other}
    respelled = (_composed(one).strip() for one in cases(answer, spelling))
    return tuple(dict.fromkeys([_composed(answer).strip(), *(one for one in respelled if one not in taken)]))


def begins(text: str, form: str, *, ended: bool = True) -> bool:
    """Whether a text, its leading blanks aside, begins with a whole answer in this form.

    Args:
        ended: whether the text ended by itself; of one that was cut right behind the form it is not known whether the
            word goes on.
    """
    text, form = _composed(text).lstrip(), _composed(form)
    if not form or not text.startswith(form):
        return False
    return ended if len(text) == len(form) else _ends(text, len(form))


def option_of(
    text: str, options: Collection[str], spelling: str, *, other: Collection[str] = (), ended: bool = True
) -> str | None:
    """The longest of some answers that a text begins with; None where it begins with none."""
    found = [
        option
        for option in options
        if any(begins(text, form, ended=ended) for form in forms(option, spelling, other=other))
    ]
    return max(found, key=len, default=None)


def opening(text: str, *, words: int = 3) -> str:
    """The first words of a text, by which texts are counted; line breaks in front of them are shown as ⏎."""
    body = text.lstrip()
    breaks = "⏎" * text[: len(text) - len(body)].count("\n")
    first = body.splitlines()[0] if body else ""
    return " ".join(filter(None, [breaks, *first.split()[:words]]))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _ends(text: str, at: int) -> bool:
    """Whether a word that ends before character `at` ends there for good."""
    last, following, behind = text[at - 1], text[at], text[at + 1 : at + 2]
    if unicodedata.east_asian_width(last) == "W":
        return True
    if following == "_" or following.isalnum() or unicodedata.category(following).startswith("M"):
        return False
    if following in _JOINTS and behind.isalnum():
        return False
    return not (following in ".," and last.isdigit() and behind.isdigit())
