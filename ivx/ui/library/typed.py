"""The form for a task of one's own, typed into the page: wordings, queries with their answers, and the file to keep."""

from __future__ import annotations

import csv
from collections.abc import Callable

import streamlit as st

from ivx.errors import IvxError, TaskError
from ivx.tasks.task import Pair
from ivx.tasks.writer import text_of, typed
from ivx.ui.kit import pieces

FACTS = "crow, black, yes\npig, pink, no"
COLUMNS = ("query", "answer", "contrast")


def form(use: Callable[[str, bytes], None]) -> None:
    """Draw the form.

    Args:
        use: takes the file's name and content when the task is to be used.
    """
    pieces.head("A task of your own", "typed here, kept as a file")
    one, two = st.columns(2, gap="medium")
    with one:
        name = st.text_input("Name", placeholder="bird", max_chars=40, key="own_name").strip()
        field = st.text_input("What stands before a query", placeholder="Animal", max_chars=40, key="own_field").strip()
        wordings = _lines(
            "Wordings of the instruction, one a line", "Name its colour.\nSay what colour it has.", "told"
        )
        contrasts = _lines("Wordings of the contrast’s instruction", "Say whether it can fly, yes or no.", "contrast")
    with two:
        facts = st.text_area(
            "Queries: query, answer, contrast; one query a line", placeholder=FACTS, height=330, key="own_facts"
        )
    if not facts.strip():
        pieces.note("Without wordings the task can be told by demonstrations alone: by its own solved queries.")
        return
    try:
        pair = typed(name or "own", _facts(facts), wordings=wordings, contrast_wordings=contrasts, **_field(field))
        text = text_of(pair)
    except IvxError as error:
        pieces.refusal(
            "This task cannot be used yet", str(error), "Lines count from 1; rows, as in a file with a header, from 2."
        )
        return
    _offer(pair, f"{name or 'own'}.csv", text.encode("utf-8"), use)


def _offer(pair: Pair, file: str, content: bytes, use: Callable[[str, bytes], None]) -> None:
    told = f"{len(pair.queries)} queries, {len(pair.task.instructions)} wordings"
    left, right, _ = st.columns([1, 1, 2], gap="small")
    if left.button("Use this task", type="primary", width="stretch", help=told):
        use(file, content)
    right.download_button("Save as a task file", content, file, "text/csv", width="stretch")
    for reason in pair.left_out:
        pieces.note(f"Left out: {reason}.")


def _lines(label: str, placeholder: str, key: str) -> list[str]:
    written = st.text_area(label, placeholder=placeholder, height=100, key=f"own_{key}")
    return [line.strip() for line in written.splitlines() if line.strip()]


def _field(field: str) -> dict[str, str]:
    return {"field": field} if field else {}


def _facts(text: str) -> list[tuple[str, str, str]]:
    """Query, answer and contrast of each line.

    Raises:
        TaskError: a line has another number of parts.
    """
    found = []
    for number, cells in enumerate(csv.reader(text.strip().splitlines(), skipinitialspace=True), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(COLUMNS):
            raise TaskError(
                f"line {number} of the queries has {len(cells)} parts: write {', '.join(COLUMNS)}, and quote what "
                "holds a comma"
            )
        query, answer, contrast = (cell.strip() for cell in cells)
        found.append((query, answer, contrast))
    return found
