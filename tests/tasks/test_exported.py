"""BIG-bench tasks as data sets of Hugging Face export them: lists in cells, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ivx.errors import TaskError
from ivx.tasks import catalogue
from ivx.tasks.task import Pair

CHOICES = ["sincere", "ironic"]
ROWS: list[dict[str, Any]] = [
    {
        "idx": k,
        "inputs": query,
        "targets": [CHOICES[k % 2]],
        "multiple_choice_targets": CHOICES,
        "multiple_choice_scores": [1 - k % 2, k % 2],
    }
    for k, query in enumerate(("Thank you for the tea", "How lovely, rain again", "I like this"))
]


def written(tmp_path: Path, rows: list[dict[str, Any]], kind: str) -> str:
    path = tmp_path / f"irony.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows)))
    return str(path)


def facts(pair: Pair) -> dict[str, tuple[str, str]]:
    return {query: (pair.task.answers[query], pair.contrast.answers[query]) for query in pair.task.answers}


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_the_option_of_score_one_stands_against_the_first_other(tmp_path: Path, kind: str) -> None:
    lacking = {**ROWS[0], "inputs": "Well", "multiple_choice_scores": [0, 0]}
    pair = catalogue.find(written(tmp_path, [*ROWS, lacking], kind))
    assert facts(pair) == {
        "Thank you for the tea": ("sincere", "ironic"),
        "How lovely, rain again": ("ironic", "sincere"),
        "I like this": ("sincere", "ironic"),
    }
    assert pair.left_out == ("row 4, column 'multiple_choice_targets': no option has score 1",)
    assert "inputs are taken as they stand" in pair.notes[0] and not pair.task.instructions


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_without_options_the_first_target_is_the_answer(tmp_path: Path, kind: str) -> None:
    free = [{"inputs": row["inputs"], "targets": [answer, "another"]} for row, answer in zip(ROWS, "abc", strict=True)]
    pair = catalogue.find(written(tmp_path, free, kind))
    assert list(pair.task.answers.values()) == ["a", "b", "c"] and "another-answer" in pair.contrast.name
    empty = [{**row, "multiple_choice_targets": [], "multiple_choice_scores": []} for row in free]
    assert catalogue.find(written(tmp_path, empty, "jsonl")).task.answers == pair.task.answers


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"multiple_choice_scores": [1]}, "row 2: 2 multiple_choice_targets have 1 multiple_choice_scores"),
        ({"multiple_choice_targets": ["a", "a"]}, "option 'a' stands twice"),
        ({"multiple_choice_targets": ["a", 3]}, "row 2, column 'multiple_choice_targets': text was expected, not 3"),
        ({"multiple_choice_scores": ["1", "0"]}, "for a score: write a number"),
        ({"inputs": ["a"]}, "row 2, column 'inputs': text was expected"),
        ({"targets": {"a": 1}}, "row 2, column 'targets': a list was expected"),
        ({"inputs": "x" * 2_001}, "row 2, column 'inputs'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(TaskError) as error:
        catalogue.find(written(tmp_path, [ROWS[0], {**ROWS[1], **changed}, ROWS[2]], "jsonl"))
    assert told in str(error.value)


def test_columns_that_a_user_names_are_read_as_they_were(tmp_path: Path) -> None:
    rows = [{**row, "answer": "yes", "query": row["inputs"], "contrast": "no", "instruction": "say ."} for row in ROWS]
    assert set(catalogue.find(written(tmp_path, rows, "jsonl")).task.answers.values()) == {"yes"}
