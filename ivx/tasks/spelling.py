"""Spellings of an answer: with a space in front or without, as it is given, capitalised, or in lower case.

Which one a model writes depends on the model and on what stands before the answer, so it is found out
(`ivx.patching.spelling`) and not assumed.
"""

from __future__ import annotations

from collections.abc import Callable

AUTO = "auto"
"""The spelling that the model itself prefers."""
SUM = "sum"
"""All of them: an answer's probability is the sum of its spellings'."""
ALONE = "alone"
"""The answer as the tokenizer writes it by itself, with nothing in front: the token that the paper takes, which a model
need not ever write there."""
_CASES: dict[str, Callable[[str], str]] = {
    "": str,
    "capital": lambda text: text[:1].upper() + text[1:],
    "lower": str.lower,
}
_SPELLED = {
    "-".join(filter(None, (gap, case))) or "plain": (" " if gap else "", spelled)
    for case, spelled in _CASES.items()
    for gap in ("space", "")
}
SPELLINGS = tuple(_SPELLED)
"""`space`, `plain`, `space-capital`, `capital`, `space-lower`, `lower`."""
AS_GIVEN = ("space", "plain")
"""Those that leave an answer's case as it is."""


def spelled(answer: str, spelling: str) -> str:
    """The answer in one of the `SPELLINGS`, or alone."""
    if spelling == ALONE:
        return answer
    gap, case = _SPELLED[spelling]
    return gap + case(answer)


def cases(answer: str, spelling: str) -> tuple[str, ...]:
    """The answer in the case of a spelling; of their sum, in every one."""
    return tuple(case(answer) for case in _CASES.values()) if spelling == SUM else (spelled(answer, spelling),)


def summed(*, cased: bool) -> tuple[str, ...]:
    """The spellings that are summed over; where case is what the answers are about, those that leave it as it is."""
    return AS_GIVEN if cased else SPELLINGS


def usual(prompt: str) -> str:
    """The spelling that is expected behind a prompt, of a model that was not asked: a space, but for a new line."""
    return "plain" if prompt[-1:].isspace() else "space"


def words(spelling: str) -> str:
    """A spelling in words."""
    if spelling == SUM:
        return "as a sum over spellings"
    if spelling == ALONE:
        return "by itself, as published"
    gap = "with a space in front" if spelling.startswith("space") else "without a space in front"
    case = {"capital": ", capitalised", "lower": ", in lower case"}.get(spelling.rpartition("-")[2], "")
    return gap + case
