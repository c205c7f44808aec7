"""The page Tasks: what is read of uploads, of one file and of several."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from ivx.ui.kit import session

APP = Path(__file__).parents[2] / "app.py"
FILES = Path(__file__).parents[1] / "tasks" / "files"


def opened() -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=90).switch_page("ivx/ui/pages/tasks.py").run()
    assert not page.exception
    return page


def given(page: AppTest, label: str, name: str, content: bytes | None = None) -> None:
    file = next(one for one in page.file_uploader if one.label.startswith(label))
    file.set_value((Path(name).name, content or (FILES / name).read_bytes(), ""))


def shown(page: AppTest) -> str:
    """All that a finished run of the page says."""
    assert not page.exception
    bodies = [part.body for part in page.get("html") if isinstance(part, Element)]
    return " ".join([*bodies, *(one.value for one in page.success), *(one.value for one in page.markdown)])


def test_two_files_are_a_pair_and_a_third_its_wordings() -> None:
    page = opened()
    given(page, "CSV, JSON", "opposite.json")
    page.run()
    told = shown(page)
    assert "5 queries and 0 wordings" in told and "holds no contrast" in told and "demonstrations alone" in told
    given(page, "Contrast: a second", "alike.json")
    given(page, "Wordings of the instruction", "opposite.txt")
    page.run()
    told = shown(page)
    assert "4 queries and 3 wordings" in told and "is not in" in told and "holds no contrast" not in told
    (name, address) = page.session_state[session.FILES][0]
    assert name == "opposite.json / alike.json" and "against=" in address and "wordings=" in address


def test_a_file_without_instruction_is_previewed_by_demonstrations() -> None:
    page = opened()
    lines = "".join(
        f'{{"input": "{q}", "output": "{a}"}}\n' for q, a in zip(("pig", "crow", "swan"), "abc", strict=True)
    )
    content = lines.replace('"a"', '"pink"').replace('"b"', '"black"').replace('"c"', '"white"').encode()
    given(page, "CSV, JSON", "mine.jsonl", content)
    page.run()
    page.session_state["task"] = page.session_state[session.FILES][0][1]
    page.run()
    told = shown(page)
    assert "This task cannot be shown" not in told and "3 queries · 0 wordings" in told


def test_columns_are_named_in_the_page_and_a_wrong_one_is_a_sentence() -> None:
    page = opened()
    given(page, "CSV, JSON", "beasts.csv")
    page.run()
    assert "column &#x27;answer&#x27; is missing" in shown(page)
    page.text_input(key="ivx.own.answer").set_value("colour")
    page.text_input(key="ivx.own.contrast").set_value("flys")
    page.run()
    assert "there is no column &#x27;flys&#x27; for contrast=" in shown(page)
    page.text_input(key="ivx.own.contrast").set_value("flies")
    page.text_input(key="ivx.own.field").set_value("Animal & co")
    page.run()
    assert "4 queries and 0 wordings" in shown(page)


def test_a_template_of_ones_own_is_shown_as_tokens_and_stands_in_the_address() -> None:
    page = opened()
    page.text_area(key="template").set_value("the {field} {query} is")
    page.run()
    told = shown(page)
    assert all(f">{word}</span>" in told for word in ("the", "animal", "is")) and ">answer</span>" not in told
    page.text_area(key="template").set_value("no place for a query")
    page.run()
    assert "the template holds no {query}" in shown(page)


def test_demonstrations_are_shown_in_the_instructions_place() -> None:
    page = opened()
    page.selectbox(key="by").set_value("4")
    page.run()
    assert shown(page).count(">answer</span>") > 4 * 4


def test_a_typed_task_is_used_and_refused_by_its_line() -> None:
    page = opened()
    page.text_area(key="own_facts").set_value("crow, black, yes\npig, pink, no\nswan, white")
    page.run()
    assert "line 3 of the queries has 2 parts" in shown(page)
    page.text_area(key="own_facts").set_value("crow, black, yes\npig, pink, no\nswan, white, yes")
    page.text_area(key="own_told").set_value("give its colour")
    page.text_input(key="own_name").set_value("beast")
    page.text_input(key="own_field").set_value("animal")
    page.run()
    next(one for one in page.button if one.label == "Use this task").click()
    page.run()
    told = shown(page)
    assert "3 queries · 1 wordings · against " in told and ">give</span>" in told
    assert ("beast.csv", page.session_state["task"]) in page.session_state[session.FILES]
