"""The writer: what is written is read as the same pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivx.errors import TaskError
from ivx.tasks import catalogue
from ivx.tasks.reader import read_pair
from ivx.tasks.writer import text_of, typed, write_pair

FILES = Path(__file__).parent / "files"
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(
        st.tuples(CELL, CELL, CELL), min_size=2, max_size=6, unique_by=lambda fact: " ".join(fact[0].split())
    ),
    wordings=st.lists(CELL, max_size=4),
    others=st.lists(CELL, max_size=3),
    field=CELL,
)
def test_what_is_typed_is_written_and_read_as_it_was(
    facts: list[tuple[str, str, str]], wordings: list[str], others: list[str], field: str, tmp_path: Path
) -> None:
    pair = typed("mine", facts, wordings=wordings, contrast_wordings=others, field=field)
    if others and not wordings:
        assert not pair.task.instructions and pair.contrast.instructions
    found = read_pair(write_pair(pair, tmp_path / "mine.csv"))
    assert found == pair and found.fingerprint == pair.fingerprint


def test_a_file_is_written_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "query,answer,contrast,instruction,contrast_instruction,field,family\n"
        "pig,pink,no,Name its colour.,Can it fly?,Beast,a\n"
        '"a, ""b""\nc",=1+1,yes,Say it.,,Bird,\ncow,brown,no,,,Beast,\n'
    )
    pair = read_pair(tmp_path / "mine.csv")
    (tmp_path / "again").mkdir()
    assert read_pair(write_pair(pair, tmp_path / "again" / "mine.csv")) == pair
    name = FILES / "beasts.csv?answer=colour&contrast=flies&wordings=varied_instructions/colour_rephrased.csv"
    paper = catalogue.find(str(name))
    assert read_pair(write_pair(paper, tmp_path / "beasts.csv")) == paper


def test_a_built_in_task_is_written_with_its_texts(tmp_path: Path) -> None:
    pair = catalogue.find("animal/colour")
    found = read_pair(write_pair(pair, tmp_path / "colour.csv"))
    assert found.task.field == "Animal" and found.queries == pair.queries
    assert [w.text for w in found.task.instructions] == [w.text for w in pair.task.instructions]
    assert [w.family for w in found.contrast.instructions] == [w.family for w in pair.contrast.instructions]


def test_what_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="other queries' answers for contrasts"):
        text_of(catalogue.find(str(FILES / "opposite.json")))
    pair = typed("mine", [("pig", "pink", "no"), ("crow", "black", "yes")], wordings=["Name it."])
    blank = replace(pair, task=replace(pair.task, answers={" pig": "pink"} | dict(pair.task.answers)))
    blank = replace(blank, contrast=replace(blank.contrast, answers={" pig": "no"} | dict(blank.contrast.answers)))
    with pytest.raises(TaskError, match="mine/answer cannot be written"):
        text_of(blank)
    with pytest.raises(TaskError, match="ends in .csv"):
        write_pair(pair, tmp_path / "mine.json")
    with pytest.raises(TaskError, match="cannot be written .* choose another folder"):
        write_pair(pair, tmp_path / "nowhere" / "mine.csv")
    with pytest.raises(TaskError, match="mine, row 3, column 'answer': more than 2,000"):
        typed("mine", [("pig", "pink", "no"), ("cow", "x" * 3000, "no")])
    with pytest.raises(TaskError, match="mine holds 1 queries that can be asked .row 3, column 'answer': it is empty"):
        typed("mine", [("pig", "pink", "no"), ("cow", " ", "no")])
