"""The writer: a pair as the CSV that `read_pair` reads, and a pair from what a user typed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ivx import scratch
from ivx.errors import TaskError
from ivx.tasks.assembly import ANOTHER, FIELD, assembled
from ivx.tasks.layouts.columns import ROLES
from ivx.tasks.layouts.sheet import Row, Sheet, bounded
from ivx.tasks.reader import read_pair
from ivx.tasks.task import Instruction, Pair


def typed(
    name: str,
    facts: Iterable[tuple[str, str, str]],
    *,
    wordings: Sequence[str] = (),
    contrast_wordings: Sequence[str] = (),
    field: str = FIELD,
) -> Pair:
    """The pair that a user typed, the same as that of a file of this name.

    Args:
        name: what the tasks are named by, `name/answer` and `name/contrast`.
        facts: query, answer and contrast of each query.
        wordings: of the instruction; none for a task that is asked by demonstrations alone.
        contrast_wordings: of the contrast's instruction; by default the instruction's.
        field: what stands before a query.

    Raises:
        TaskError: what a file of it would be refused for; rows are counted as in that file, whose header is row 1.
    """
    rows: list[dict[str, str]] = [
        {"query": query, "answer": answer, "contrast": contrast, "field": field} for query, answer, contrast in facts
    ]
    rows += [{"instruction": text} for text in wordings]
    rows += [{"contrast_instruction": text} for text in contrast_wordings]
    roles = _roles(any(map(str.strip, wordings)), any(map(str.strip, contrast_wordings)))
    numbered: Iterable[Row] = enumerate(rows, start=2)
    columns = {role: role for role in roles}
    return assembled(Sheet(name, bounded(name, numbered, columns), columns), stem=name)


def text_of(pair: Pair) -> str:
    """A pair as the text of a CSV file; what only built-in tasks have (task phrases, held-out frames) is not in it.

    Raises:
        TaskError: the text would be read as another pair, as where a query begins with a blank, or would not say that
            the contrasts are other queries' answers.
    """
    task, contrast = pair.task, pair.contrast
    if contrast.name.endswith(f"/{ANOTHER}"):
        raise TaskError(
            f"{task.name} has other queries' answers for contrasts, and a file of both would not say so: keep the file "
            "that it came from, or give it a contrast"
        )
    own = contrast.instructions != task.instructions
    rows: list[dict[str, str]] = [
        {"query": query, "answer": answer, "contrast": contrast.answers[query], "field": task.field_of(query)}
        for query, answer in task.answers.items()
        if query in contrast.answers
    ]
    rows += _told(task.instructions, "instruction")
    if own:
        rows += _told(contrast.instructions, "contrast_instruction")
    written = io.StringIO()
    roles = _roles(bool(task.instructions), own and bool(contrast.instructions))
    file = csv.DictWriter(written, roles, lineterminator="\r\n")  # with less, it would leave a lone \r unquoted
    file.writeheader()
    file.writerows(rows)
    _check(pair, written.getvalue())
    return written.getvalue()


def write_pair(pair: Pair, path: Path) -> Path:
    """Write a pair as a CSV file, and return its path; raises `TaskError` as `text_of` does."""
    text = text_of(pair)
    if path.suffix.lower() != ".csv":
        raise TaskError(f"a task is written as CSV: give a name that ends in .csv, not {path.name}")
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise TaskError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
    return path


def _roles(told: bool, own: bool) -> tuple[str, ...]:
    """The columns of a file with wordings, and with wordings of the contrast's own."""
    without = {role for role, there in (("instruction", told), ("contrast_instruction", own)) if not there}
    return tuple(role for role in ROLES if role not in without and (role != "family" or told or own))


def _told(instructions: Iterable[Instruction], role: str) -> list[dict[str, str]]:
    return [{role: wording.text, "family": wording.family} for wording in instructions]


def _check(pair: Pair, text: str) -> None:
    """Read what was written: a pair is not always one that a file can hold."""
    with scratch.folder("task") as folder:
        path = Path(folder) / "task.csv"
        path.write_text(text, encoding="utf-8", newline="")
        found = read_pair(path)
    if found.left_out or _content(found) != _content(pair):
        why = f" ({found.left_out[0]})" if found.left_out else ""
        raise TaskError(
            f"{pair.task.name} cannot be written as a file that is read the same{why}: take blanks from the ends of "
            "its texts, and give most queries the task's own field"
        )


def _content(pair: Pair) -> tuple[object, ...]:
    """What a file holds of a pair."""
    shared = [query for query in pair.task.answers if query in pair.contrast.answers]
    return (
        pair.task.field,
        {q: (pair.task.answers[q], pair.contrast.answers[q], pair.task.field_of(q)) for q in shared},
        [[(wording.text, wording.family) for wording in one.instructions] for one in (pair.task, pair.contrast)],
    )
