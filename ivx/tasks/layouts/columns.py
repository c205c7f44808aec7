"""Columns: which of a table's columns holds the queries, which the answers, and what else is read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ivx.errors import TaskError

REQUIRED = ("query", "answer", "contrast", "instruction")
ROLES = (*REQUIRED, "contrast_instruction", "field", "family")
"""What is read of a row, from the column of the same name unless another is named; other columns are left alone."""
ANSWERS, PAIR, WORDINGS = ("query", "answer"), ("query", "answer", "contrast"), ("instruction",)
"""What a table must have."""
NAMED = ("query", "answer", "contrast", "instruction", "contrast_instruction")
"""Roles whose column a user can name."""
KNOWN = (("input", "output"), ("question", "answer"), ("prompt", "completion"), ("text", "label"))
"""Names that queries and answers have in other people's files."""


def read_of(given: Mapping[str, str]) -> set[str]:
    """The columns that are read in any case, where these roles' are named."""
    return {given.get(role, role) for role in ROLES}


def chosen(names: Sequence[str], given: Mapping[str, str], *, where: str, needed: tuple[str, ...]) -> dict[str, str]:
    """The column of each role that a table has.

    Args:
        given: the columns that the user named.
        where: the file, and the row of its header, for messages.
        needed: `PAIR`, `ANSWERS` (the contrast comes from elsewhere) or `WORDINGS`.

    Raises:
        TaskError: a column that is needed is missing, stands twice, or could be one of several.
    """
    for role, name in given.items():
        if name not in names:
            raise TaskError(f"{where}: there is no column {name!r:.60} for {role}= (found: {_listed(names)})")
    roles = (*WORDINGS, "family") if needed == WORDINGS else ROLES
    found = {role: role for role in roles if role in names} | dict(given)
    if needed != WORDINGS:
        foreign = _foreign(names, given, where=where) if {"query", "answer"} - set(found) else {}
        if foreign or {"query", "answer"} & set(given):
            needed = ANSWERS  # a header of one's own that lacks a contrast is a slip of the pen, another's has none
        found |= foreign
    for role in needed:
        if role not in found:
            asked = needed if needed == WORDINGS else REQUIRED
            cure = "" if needed == WORDINGS else f", or say which column it is: FILE?{role}=COLUMN"
            raise TaskError(
                f"{where}: column {role!r} is missing; needed are {', '.join(asked)} (found: {_listed(names)}){cure}"
            )
    refuse_twice(names, set(found.values()), where=where)
    shared = next((a for a in found for b in found if a < b and found[a] == found[b]), None)
    if shared:
        raise TaskError(f"{where}: column {found[shared]!r} is named for two things: name another for {shared}=")
    return found


def refuse_twice(names: Sequence[str], read: set[str], *, where: str) -> None:
    """Raises `TaskError` where one of the columns that are read stands twice."""
    twice = next((name for name in names if name in read and names.count(name) > 1), None)
    if twice:
        raise TaskError(f"{where}: column {twice!r} stands twice: keep one of them, or rename the other")


def _foreign(names: Sequence[str], given: Mapping[str, str], *, where: str) -> dict[str, str]:
    """The query's and the answer's column, by names that are known from elsewhere; empty where there are none."""

    def fits(role: str, name: str) -> bool:
        # A column of the role's own name stands before any other, unless the user named that one.
        return name in names and given.get(role, role if role in names else name) == name

    fit = [(query, answer) for query, answer in KNOWN if fits("query", query) and fits("answer", answer)]
    if len(fit) > 1:
        told, (query, answer) = " and ".join("/".join(pair) for pair in fit), fit[0]
        raise TaskError(f"{where}: {told} could be query and answer: say which, FILE?query={query}&answer={answer}")
    if not fit:
        return {}
    if "instruction" in names and "instruction" not in given:
        raise TaskError(
            f"{where}: beside {'/'.join(fit[0])} stands a column 'instruction', and a row's own instruction is no "
            "wording of one task: keep the rows of one task and say FILE?instruction=instruction"
        )
    return dict(zip(("query", "answer"), fit[0], strict=True))


def _listed(names: Sequence[str]) -> str:
    told = " ".join(", ".join(names)[:200].split())
    return told.encode("utf-8", "replace").decode() or "none"
