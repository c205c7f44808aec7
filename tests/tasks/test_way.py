"""Ways of asking: parts of a prompt lie where rendering put them, demonstrations show the task and never the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivx.errors import TaskError
from ivx.tasks import catalogue
from ivx.tasks.prompt import ENGLISH, rendered
from ivx.tasks.samples import Samples, build
from ivx.tasks.spelling import SPELLINGS, spelled
from ivx.tasks.way import Way
from tests.support.tokenizers import decoded, tokenizer

LETTERS = """query,answer,contrast,instruction,field
s,black,yes,Name its colour.,Animal
w,pink,no,,Animal
Answer,white,yes,,Animal
b,brown,no,,Animal
"""


@given(st.dictionaries(st.sampled_from(["instruction", "demonstrations", "field", "query"]), st.text(min_size=1)))
def test_every_part_lies_where_it_is_said_to(parts: dict[str, str]) -> None:
    found = rendered("{instruction} {demonstrations}\n{field}: {query}. Answer:", parts)
    parts = parts | ({"cue": "Answer"} if "query" in parts else {})
    assert {name: found.text[slice(*span)] for name, span in found.spans.items()} == parts
    moved = found.within("<user> ", "\n<bot>")
    assert {name: moved.text[slice(*span)] for name, span in moved.spans.items()} == parts


def test_a_part_that_is_not_there_takes_the_blanks_behind_it_along() -> None:
    told = {"query": "crow", "field": "Animal"}
    assert rendered(ENGLISH.pattern(), told).text == "Animal: crow. Answer:"
    assert rendered("Word: {query}\n\n{instruction}", told).text == "Word: crow"
    assert rendered("### {instruction}\n{query}", told).text == "### crow"


@pytest.mark.parametrize("form", ["prompt", "query", "filler", "chat"])
def test_a_query_is_found_where_it_was_put_and_not_by_its_letters(tmp_path: Path, form: str) -> None:
    (tmp_path / "letters.csv").write_text(LETTERS, encoding="utf-8")
    tok = tokenizer("gpt2")
    tok.chat_template = "s {% for m in messages %}user s: {{ m.content }}\n{% endfor %}assistant:"
    built = build(catalogue.find(str(tmp_path / "letters.csv")), tok, samples=4, way=Way(form))
    assert {row.query for row in built.rows} == {"s", "w", "Answer", "b"}
    for row in built.rows:
        start, end = row.query_span
        before, after = (decoded(tok, list(ids)) for ids in (row.target[:start], row.target[end:]))
        assert decoded(tok, list(row.target[start:end])).strip() == row.query
        assert (before.endswith("Animal:") and after.startswith(". Answer:")) or form in ("query", "filler")


def test_ones_own_template_is_told_bare_and_shown() -> None:
    tok = tokenizer("bos")
    way = Way(template="Q ({field}) {query}\n{instruction}\nA:")
    for row in build(catalogue.find("animal/colour"), tok, samples=4, way=way).rows:
        assert decoded(tok, list(row.target[1:])) == f"Q (Animal) {row.query}\nA:"
        assert decoded(tok, list(row.instructed[1:])) == f"Q (Animal) {row.query}\n{row.instruction.text}\nA:"
        assert decoded(tok, list(row.source)).endswith(row.instruction.text)
        assert row.instructed[: len(row.source)] == row.source


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"template": "Answer:"}, r"no \{query\}"),
        ({"template": "{query} {query}"}, "twice"),
        ({"template": "{query}", "form": "filler"}, "use the format prompt"),
        ({"template": "{query}" + "x" * 5_000}, "shorten it"),
        ({"system": "Be brief."}, "use the target format chat"),
        ({"demonstrations": 65}, "choose 0 to 64"),
        ({"spelling": "SPACE"}, "there is no spelling"),
        ({"form": "haiku"}, "there is no target format"),
    ],
)
def test_a_way_that_cannot_be_is_one_sentence(told: dict, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        Way(**told)


def test_a_system_turn_is_written_or_refused() -> None:
    tok = tokenizer("gpt2")
    tok.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    row = build(catalogue.find("animal/colour"), tok, samples=1, way=Way("chat", system="Be brief.")).rows[0]
    assert decoded(tok, list(row.target)).startswith("system: Be brief.\nuser: Animal: ")
    tok.chat_template = "{% for m in messages if m.role == 'user' %}{{ m.content }}\n{% endfor %}assistant:"
    with pytest.raises(TaskError, match="leave the system turn out"):
        build(catalogue.find("animal/colour"), tok, way=Way("chat", system="Be brief."))


def _shown(form: str = "prompt") -> tuple[Samples, list[str]]:
    tok = tokenizer("gpt2")
    tok.chat_template = "{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:"
    built = build(
        catalogue.find("animal/colour"),
        tok,
        samples=12,
        way=Way(form, demonstrations=5),
        controls=("neutral", "counter", "unpaired", "task2"),
    )
    return built, [decoded(tok, list(row.source)) for row in built.rows]


def test_demonstrations_show_the_task_and_never_the_measured_query() -> None:
    pair = catalogue.find("animal/colour")
    built, sources = _shown()
    for row, source in zip(built.rows, sources, strict=True):
        lines = source.split("\n")
        asked = [line.removeprefix("Animal: ").partition(". Answer:") for line in lines]
        assert len(lines) == 6 and row.query not in [query for query, _, _ in asked]
        assert [answer.strip() for _, _, answer in asked] == [pair.task.answers[q] for q, _, _ in asked[:-1]] + [""]
        assert row.t_inst == len(row.source) - 1 and row.keyword is None
    assert built == _shown()[0]


def test_the_contrast_task_shows_the_same_queries_and_shuffled_answers_the_same_answers() -> None:
    built, sources = _shown()
    tok = tokenizer("gpt2")
    for k, source in enumerate(sources):
        counter, unpaired, bare = (
            decoded(tok, list(each[k].source)) for each in (built.counter, built.unpaired, built.neutral)
        )
        queries, answers = ([line.split(". Answer:")[i] for line in source.split("\n")] for i in (0, 1))
        assert [line.split(". Answer:")[0] for line in counter.split("\n")] == queries
        assert {line.split(". Answer:")[1].strip() for line in counter.split("\n")[:-1]} <= {"yes", "no"}
        mixed = [line.split(". Answer:")[1] for line in unpaired.split("\n")]
        assert [line.split(". Answer:")[0] for line in unpaired.split("\n")] == queries
        assert sorted(mixed) == sorted(answers) and mixed[-1] == "" and mixed[:-1] == answers[1:-1] + answers[:1]
        assert bare == source.split("\n")[-1]
        for told in (built.control[k], built.others[0][k]):
            assert told.query == built.rows[k].query and told.target == built.rows[k].target


def test_in_a_chat_demonstrations_are_one_turn() -> None:
    built, sources = _shown("chat")
    for row, source in zip(built.rows, sources, strict=True):
        assert source.startswith("user: Animal: ") and source.endswith(". Answer:\nassistant:")
        assert source.count("user:") == 1 and row.instructed != row.source


def test_too_few_queries_for_demonstrations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.csv").write_text(LETTERS, encoding="utf-8")
    with pytest.raises(TaskError, match="4 demonstrations need 6 queries, and there are 4"):
        build(catalogue.find(str(tmp_path / "letters.csv")), tokenizer("gpt2"), way=Way(demonstrations=4))


def test_spellings_are_distinct_and_a_blank_is_never_an_answers_token(tmp_path: Path) -> None:
    assert len({spelled("nO", spelling) for spelling in SPELLINGS}) == len(SPELLINGS)
    facts = "query,answer,contrast,instruction\ncrow,black,yes,Name it.\npig,pink,no,\nowl,\u65e5,no,\n"
    (tmp_path / "blank.csv").write_text(facts, encoding="utf-8")
    tok = tokenizer("metaspace")
    built = build(catalogue.find(str(tmp_path / "blank.csv")), tok, samples=3)
    assert {row.query for row in built.rows} == {"crow", "pig"}
    assert all(decoded(tok, [i]).strip() for row in built.rows for i in (row.answer_id, row.contrast_id))
