"""BIG-bench tasks: the JSON of one, with its examples and the prefix that asks for an answer, or its exported rows.

An example's answer is its option of score 1, and its contrast the first other option; one without options has its
target, or the first of several. Srivastava et al., arXiv 2206.04615.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ivx.errors import TaskError
from ivx.tasks.layouts.sheet import Row, Sheet, bounded, check_cell
from ivx.tasks.layouts.table import Object

CUE = "the options are not shown in the prompt, and the task's own prefixes of input and output are not used"

AS_EXPORTED = "its inputs are taken as they stand, with whatever they tell of the task and show of the options"
EXPORTED = {"input": "inputs", "target": "targets", "target_scores": "multiple_choice_targets"}
"""Columns of an exported task, by the names of its own JSON."""
COLUMNS = ("inputs", "targets", "multiple_choice_targets", "multiple_choice_scores")
"""All that is read of an exported task."""


def bigbench_sheet(path: Path, told: Any) -> Sheet:
    """The sheet of a task; raises `TaskError` with the example's number as its row."""
    examples = told.get("examples") if isinstance(told, Object) else None
    if isinstance(examples, Object) or not isinstance(examples, list):
        raise TaskError(
            f"{path.name}: a JSON object with a list 'examples' was expected (a BIG-bench task), or a list of objects "
            'such as [{"input": …, "output": …}]'
        )
    prefix = told.get("task_prefix")
    if prefix is not None and not isinstance(prefix, str):
        raise TaskError(f"{path.name}, 'task_prefix': text was expected, not {prefix!r:.60}")
    prefix = (prefix or "").strip()
    check_cell(prefix, where=f"{path.name}, 'task_prefix'")
    return _sheet(path, enumerate(examples, start=1), prefix=prefix, note=CUE)


def is_exported(names: Collection[str]) -> bool:
    """Whether these are the columns of a task as data sets of Hugging Face hold it."""
    return {"inputs", "targets"} <= set(names) and not {"query", "answer"} & set(names)


def exported_sheet(path: Path, records: Iterable[tuple[int, Any]]) -> Sheet:
    """The sheet of such a data set, whose cells are lists: targets, and options with their scores in another column.

    Args:
        records: row numbers, and the rows as objects.
    """
    examples = ((number, _example(row, where=f"{path.name}, row {number}")) for number, row in records)
    return _sheet(path, list(examples), note=AS_EXPORTED, named=EXPORTED)


def _example(row: Object, *, where: str) -> Object:
    """A row as the task's own JSON would have it."""
    options, scores = (_listed(row, f"multiple_choice_{name}", where=where) for name in ("targets", "scores"))
    if len(options) != len(scores):
        raise TaskError(f"{where}: {len(options)} multiple_choice_targets have {len(scores)} multiple_choice_scores")
    for option in options:
        _text(option, where=f"{where}, column 'multiple_choice_targets'")
    scored = [("target_scores", Object(zip(options, scores, strict=True)))] if options else []
    return Object([("input", row.get("inputs")), ("target", _listed(row, "targets", where=where)), *scored])


def _listed(row: Object, name: str, *, where: str) -> list[Any]:
    """A cell that holds a list; one value alone is a list of it."""
    told = row.get(name)
    if isinstance(told, Object):
        raise TaskError(f"{where}, column {name!r}: a list was expected, not {told!r:.60}")
    return [] if told is None else told if isinstance(told, list) else [told]


def _sheet(
    path: Path,
    examples: Iterable[tuple[int, Any]],
    *,
    note: str,
    prefix: str = "",
    named: Mapping[str, str] = MappingProxyType({}),
) -> Sheet:
    """The sheet of examples; `named` says what their parts are called in the file."""
    numbered = list(examples)
    scored = any(isinstance(one, Object) and one.get("target_scores") is not None for _, one in numbered)
    columns = {"query": "input", "answer": "target_scores" if scored else "target"}
    if scored:
        columns["contrast"] = "target_scores"
    if prefix:
        columns["instruction"] = "task_prefix"
    columns = {role: named.get(name, name) for role, name in columns.items()}
    left: list[str] = []

    def rows() -> Iterator[Row]:
        for number, one in numbered:
            where = f"{path.name}, row {number}"
            if not isinstance(one, Object):
                raise TaskError(f'{where}: an example was expected, such as {{"input": …, "target": …}}')
            query = _text(one.get("input"), where=f"{where}, column {columns['query']!r}")
            first = {"instruction": prefix} if prefix and number == 1 else {}
            if not scored:
                yield number, {"query": query, "answer": _target(one, where=where, name=columns["answer"]), **first}
                continue
            options = _options(one, where=f"{where}, column {columns['contrast']!r}")
            right = [option for option, score in options if score == 1]
            others = [option for option, score in options if score != 1]
            if right and others:
                yield number, {"query": query, "answer": right[0], "contrast": others[0], **first}
                continue
            missing = "no other option" if right else "no option has score 1"
            left.append(f"row {number}, column {columns['contrast']!r}: {missing}")
            yield number, first

    found = bounded(path.name, rows(), columns)
    return Sheet(path.name, found, columns, tuple(left), (f"{path.name} is a BIG-bench task: {note}",))


def _target(example: Object, *, where: str, name: str) -> str:
    told = example.get("target")
    if isinstance(told, list) and not isinstance(told, Object):
        told = told[0] if told else ""
    return _text(told, where=f"{where}, column {name!r}")


def _options(example: Object, *, where: str) -> list[tuple[str, float]]:
    """The options of an example with their scores; none where it has none."""
    told = example.get("target_scores")
    if told is None:
        return []
    if not isinstance(told, Object):
        raise TaskError(f'{where}: scores by option were expected, such as {{"yes": 1, "no": 0}}, not {told!r:.60}')
    seen: set[str] = set()
    for name, score in told:
        if name in seen:
            raise TaskError(f"{where}: option {name!r:.60} stands twice: keep one of them")
        seen.add(name)
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise TaskError(f"{where}: option {name!r:.60} has {score!r:.60} for a score: write a number")
    return [(name, float(score)) for name, score in told if name.strip()]


def _text(value: Any, *, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TaskError(f"{where}: text was expected, not {value!r:.60}")
    return value
