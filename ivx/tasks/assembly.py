"""Assembly: a sheet becomes a contrastive pair.

A row that asks nothing that can be measured is left out, with its number and the reason, and counted; the file is
refused only where too few are left.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from ivx.errors import TaskError
from ivx.tasks.layouts.sheet import Row, Sheet
from ivx.tasks.prompt import ENGLISH
from ivx.tasks.task import Instruction, Pair, Task

NAMED = 3
"""Most rows that a sentence names."""
FIELD = "Input"
"""What stands before a query where a file names nothing."""
ANOTHER = "another-answer"
"""What the contrast task is called where its answers are other queries' answers of the task itself."""
TOLD = ("instruction", "contrast_instruction")
"""Roles that hold wordings."""


def joined(first: Sheet, second: Sheet) -> Sheet:
    """The first sheet with the second's answers as its contrast, for the queries that both have.

    The second's wordings become those of the contrast.
    """
    if "contrast" in first.columns:
        raise TaskError(f"{first.name} holds its own contrast task: leave out against={second.name!r}")
    answers: dict[str, str] = {}
    for _, row in second.rows:
        query, answer = _words(row.get("query", "")), row.get("answer", "").strip()
        if query and answer:
            answers.setdefault(query, answer)
    rows: list[Row] = []
    left = list(first.left)
    met: set[str] = set()
    for number, row in first.rows:
        query = _words(row.get("query", ""))
        if query and query not in answers:
            left.append(f"row {number}, column {first.columns['query']!r}: {query!r:.60} is not in {second.name}")
            row = {role: value for role, value in row.items() if role in (*TOLD, "family")}
        elif query:
            met.add(query)
            row = {**row, "contrast": answers[query]}
        rows.append((number, row))
    if not met:
        raise TaskError(f"{first.name} and {second.name} have no query in common: give two files of the same queries")
    if "instruction" in second.columns:
        rows += _told(second, "contrast_instruction")
    only = len(set(answers) - met)
    many = "1 query" if only == 1 else f"{only} queries"
    alone = (f"{many} of {second.name} left out: not in {first.name}",) if only else ()
    columns = {**first.columns, "contrast": second.columns["answer"]}
    return first._replace(rows=rows, columns=columns, left=tuple(left), notes=(*first.notes, *second.notes, *alone))


def told_by(sheet: Sheet, wordings: Sheet, *, role: str) -> Sheet:
    """The sheet with the wordings of another file in the role `instruction` or `contrast_instruction`."""
    return sheet._replace(
        rows=[*sheet.rows, *_told(wordings, role)],
        columns={**sheet.columns, role: f"instruction of {wordings.name}"},
    )


def _told(sheet: Sheet, role: str) -> Iterable[Row]:
    for number, row in sheet.rows:
        yield number, {role: row.get("instruction", ""), "family": row.get("family", "")}


def assembled(sheet: Sheet, *, stem: str, other: str = "", field: str = "") -> Pair:
    """The pair of a sheet.

    Args:
        stem: what the tasks are named by, `stem/answer`.
        other: the same for the contrast task, where it comes from another file.
        field: what stands before every query, in place of what the sheet says.

    Raises:
        TaskError: fewer than two queries can be asked, or an empty column of wordings.
    """
    answers: dict[str, str] = {}
    contrasts: dict[str, str] = {}
    wordings: dict[str, dict[str, str]] = {role: {} for role in TOLD}
    left = list(sheet.left)
    spaced: dict[str, str] = {}
    fields: dict[str, str] = {}
    asked = tuple(role for role in ("query", "answer", "contrast") if role in sheet.columns)
    for number, row in sheet.rows:
        for kind, found in wordings.items():
            text = row.get(kind, "").strip()
            if text:
                found.setdefault(text, row.get("family", "").strip() or f"{kind} {len(found)}")
        cells = {role: row.get(role, "").strip() for role in asked}
        if not any(cells.values()):
            continue  # a row may add a wording only
        if reason := _unfit(cells, spaced, sheet.columns):
            left.append(f"row {number}, {reason}")
            continue
        query = cells["query"]
        spaced[_words(query)] = query
        answers[query] = cells["answer"]
        contrasts[query] = cells.get("contrast", "")
        if told := row.get("field", "").strip():
            fields[query] = told
    if len(answers) < 2:
        why = f" ({'; '.join(left[:NAMED])})" if left else ""
        raise TaskError(f"{sheet.name} holds {len(answers)} queries that can be asked{why}: at least 2 are needed")
    if not wordings["instruction"] and "instruction" in sheet.columns:
        raise TaskError(
            f"{sheet.name}, column {sheet.columns['instruction']!r}: no row holds a wording: write at least one"
        )
    lone = "contrast" not in sheet.columns
    if lone:
        contrasts = _anothers(answers, sheet)

    # A row that names no field has that of most rows.
    most = Counter(fields.values()).most_common(1)[0][0] if fields else FIELD
    others = {} if field else {query: told for query, told in fields.items() if told != most}
    names = (f"{stem}/answer", f"{stem}/{ANOTHER}" if lone else f"{stem}/contrast")
    if other and other != stem:
        names = (f"{stem}/answer", f"{other}/answer")

    def task(name: str, contrast: str, told: Mapping[str, str], facts: Mapping[str, str]) -> Task:
        found = tuple(Instruction(text, family) for text, family in told.items())
        return Task(name, field or most, found, facts, contrast, "user", ENGLISH, fields=others)

    against = wordings["contrast_instruction"] or wordings["instruction"]
    return Pair(
        task(names[0], names[1], wordings["instruction"], answers),
        task(names[1], names[0], against, contrasts),
        left_out=tuple(left),
        notes=(*sheet.notes, *_notes(sheet, lone=lone, silent=not wordings["instruction"])),
    )


def _anothers(answers: Mapping[str, str], sheet: Sheet) -> dict[str, str]:
    """Another query's answer for each query: that of the next with another answer, in the order of their hashes."""
    order = sorted(answers, key=lambda query: hashlib.sha256(query.encode()).digest())
    found: dict[str, str] = {}
    for at in reversed(range(2 * len(order))):  # twice around, so that the last queries meet the first
        query, follower = order[at % len(order)], order[(at + 1) % len(order)]
        near = answers[follower]
        found[query] = near if near != answers[query] else found.get(follower, "")
    if not all(found.values()):
        only = next(iter(answers.values()))
        raise TaskError(
            f"{sheet.name}, column {sheet.columns['answer']!r}: every answer is {only!r:.60}, so none can be another's "
            "contrast: name a second file of the same queries, FILE?against=OTHER"
        )
    return found


def _notes(sheet: Sheet, *, lone: bool, silent: bool) -> Iterable[str]:
    if lone:
        yield (
            f"{sheet.name} holds no contrast: each query's is the answer of another query, which tells whether the "
            "right answer is written and not which of two tasks is followed; for that, name a second file of the same "
            "queries (FILE?against=OTHER)"
        )
    if silent:
        yield (
            f"{sheet.name} holds no instruction: it can be asked by demonstrations alone; for more, name a file of "
            "wordings (FILE?wordings=WORDINGS)"
        )


def _unfit(cells: Mapping[str, str], spaced: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Why a row's query cannot be asked; empty where it can. `spaced` holds those before it by their words alone."""
    for role, value in cells.items():
        if not value:
            return f"column {columns[role]!r}: it is empty"
    query = cells["query"]
    first = spaced.get(_words(query))
    if first is None:
        return ""
    return f"column {columns['query']!r}: {query!r:.60} stands twice" + f", as {first!r:.60}" * (first != query)


def _words(text: str) -> str:
    """A text with single spaces: two that are equal so are one query."""
    return " ".join(text.split())
