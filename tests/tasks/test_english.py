"""The English collection: its facts, its wordings, and the pairs that share queries."""

from __future__ import annotations

import csv
import re
from itertools import permutations
from pathlib import Path

import pytest

from ivx.analyses.effects.request import EffectsRequest
from ivx.errors import TaskError
from ivx.tasks import catalogue, english
from ivx.tasks.facts import DATA
from ivx.tasks.samples import build
from ivx.tasks.spelling import AS_GIVEN, SPELLINGS
from ivx.tasks.task import Task
from ivx.tasks.way import Way
from ivx.tasks.wordings import folded
from tests.support.tokenizers import tokenizer

TASKS = english.tasks()
TOKENIZER = tokenizer("gpt2", 4_000)
PAIRS = [(a.name, b.name) for a, b in permutations(TASKS.values(), 2) if a.field == b.field]
STANDING = {
    "adjective/comparative": "d976c41a1bfcbf60",
    "adjective/antonym": "84c00968ce608093",
    "animal/colour": "11d7b1c4b2018660",
    "animal/can-fly": "dbd977a5c3fa4342",
}
"""Fingerprints under which results lie in users' stores."""


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def test_every_task_has_enough_queries_and_wordings(task: Task) -> None:
    assert len(task.answers) >= 60
    assert len({folded(w.text) for w in task.instructions}) == len(task.instructions) >= 200
    assert len({w.family for w in task.instructions}) >= 15
    assert all(text == " ".join(text.split()) != "" for pair in task.answers.items() for text in pair)


def test_every_wording_marks_its_phrase(task: Task) -> None:
    for w in task.instructions:
        assert w.phrase is not None and w.text[slice(*w.phrase)] in english.PHRASES[task.name]
        assert re.fullmatch(r"[A-Z][^{}]*[a-z]\.", w.text) and not re.search(r"\ba [aeio]|\ban [^aeiou]|  ", w.text)


def test_one_word_is_asked_for_where_every_answer_is_one(task: Task) -> None:
    asked = any("one word" in w.text for w in task.instructions)
    assert asked == all(re.fullmatch(r"\w\w+", answer) for answer in task.answers.values())


def test_no_wording_stands_for_two_tasks() -> None:
    texts = [folded(w.text) for task in TASKS.values() for w in task.instructions]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("table", sorted(DATA.glob("*.csv")), ids=lambda path: path.stem)
def test_no_table_holds_a_query_twice(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as file:
        queries = [row["query"].casefold() for row in csv.DictReader(file)]
    assert len(set(queries)) == len(queries)


def test_answers_are_in_the_case_that_is_written() -> None:
    for task in TASKS.values():
        name = task.field == "Country"
        for query, answer in task.answers.items():
            if name:
                assert query[0].isupper() and all(word[0].isupper() for word in answer.replace("-au-", " ").split())
            elif task.name not in ("word/capitalise", "word/upper"):
                assert answer == answer.lower() and query == query.lower()


def test_letters_and_numbers_follow_their_rule() -> None:
    rules = {"word/capitalise": str.capitalize, "word/upper": str.upper, "word/first-letter": lambda word: word[:1]}
    for name, rule in rules.items():
        assert all(answer == rule(query) for query, answer in TASKS[name].answers.items())
    word, following = TASKS["number/word"].answers, TASKS["number/next"].answers
    assert [int(query) for query in word] == list(range(1, 100)) and len(set(word.values())) == 99
    assert all(following[query] == word[str(int(query) + 1)] for query in word if query != "99")
    assert following["99"] == "one hundred"
    assert all((a == "yes") == (int(q) % 2 == 0) for q, a in TASKS["number/is-even"].answers.items())
    # The tiny world's numbers are the same words.
    assert all(word[str(k)] == text for k, text in enumerate(catalogue.tasks("tiny")["number/next"].answers, start=1))


def test_country_answers_are_names_of_their_own() -> None:
    capital = TASKS["country/capital"].answers
    assert len(set(capital.values())) == len(capital)
    assert not any(query in answer for query, answer in capital.items())
    assert set(TASKS["country/continent"].answers.values()) == {
        "Europe",
        "Asia",
        "Africa",
        "North America",
        "South America",
        "Oceania",
    }
    for query, answer in catalogue.tasks("tiny")["country/capital"].answers.items():
        assert capital.get(query.capitalize(), answer).lower() in (answer, "new delhi")


@pytest.mark.parametrize(("name", "against"), PAIRS)
def test_tasks_that_share_queries_are_pairs(name: str, against: str) -> None:
    pair = catalogue.find(name, against=against)
    assert len(pair.queries) >= 40 and (pair.task.name, pair.contrast.name) == (name, against)
    measured = len(build(pair, TOKENIZER, samples=500).rows)
    if {name, against} == {"number/word", "number/next"}:  # twenty-one and twenty-two begin alike
        assert 20 <= measured < len(pair.queries) / 2
    else:
        assert measured > len(pair.queries) * 0.6, measured


def test_every_default_pair_can_be_measured(task: Task) -> None:
    pair = catalogue.find(task.name)
    assert len(build(pair, TOKENIZER, samples=500).rows) >= 60
    assert len(build(pair, TOKENIZER, samples=10, way=Way(demonstrations=8)).rows) == 10


def test_controls_are_of_three_further_fields_and_of_more_than_one_kind(task: Task) -> None:
    pair = catalogue.find(task.name)
    assert pair.control is not None
    chosen = (pair.control, *pair.others)
    assert len({task.field, *(one.field for one in chosen)}) == 4
    # A few words are of two kinds: one can clean, and be clean.
    assert all(len(set(one.answers) & set(task.answers)) <= 3 for one in chosen)
    forms = {"Adjective", "Verb", "Noun", "Word"}
    assert len({one.field in forms for one in chosen}) == 2


@pytest.mark.parametrize("name", STANDING)
def test_results_of_standing_tasks_are_found_again(name: str) -> None:
    pair = catalogue.find(name)
    assert pair.fingerprint == STANDING[name]
    for controls in (("task",), ("task", "task2"), ("task", "task2", "task3")):
        asked = EffectsRequest("some", name, controls=controls).about("english")
        assert asked == pair.fingerprint_with(len(controls) - 1)
    assert len({pair.fingerprint_with(count) for count in range(3)}) == 3


@pytest.mark.parametrize(("name", "against"), PAIRS)
def test_case_is_told_apart_where_it_is_the_task(name: str, against: str) -> None:
    pair = catalogue.find(name, against=against)
    assert pair.cased == (pair.task.field == "Word")
    for spelling in SPELLINGS:
        way = Way(spelling=spelling)
        if pair.cased and spelling not in AS_GIVEN:
            with pytest.raises(TaskError, match="is about capitals, and the spelling"):
                build(pair, TOKENIZER, samples=2, way=way)


@pytest.mark.parametrize(
    ("rows", "cased"),
    [
        ("pig,Pig,p\ncow,Cow,c\n", True),
        ("pig,p,Pig\ncow,c,Cow\n", True),
        ("pig,PIG,Pig\ncow,COW,Cow\n", True),
        ("pig,oink,OINK\ncow,moo,MOO\n", True),
        ("pig,Pink,No\ncow,Brown,No\n", False),
        ("France,Paris,French\nmonaco,Monaco,French\nItaly,Rome,Italian\n", False),  # one row does not make a task
    ],
)
def test_case_is_told_apart_in_a_file_of_ones_own(tmp_path: Path, rows: str, cased: bool) -> None:
    first, *rest = rows.splitlines()
    lines = ["query,answer,contrast,instruction", f"{first},Do it.", *(f"{row}," for row in rest)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    assert catalogue.find(str(tmp_path / "mine.csv")).cased == cased


def test_the_document_tells_every_task() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+/[\w-]+)` \| (.+?): (.+?) \| `(.+?)` \| (\d+) \|$", text, re.M)
    assert [name for name, *_ in told] == list(TASKS)
    for name, query, answer, against, count in told:
        task = TASKS[name]
        assert (task.answers[query], task.contrast, str(len(task.answers))) == (answer, against, count)
