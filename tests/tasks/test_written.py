"""Whole answers: a text begins with one, or with something longer."""

from __future__ import annotations

import pytest

from ivx.tasks.written import begins, forms, opening, option_of


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        (" R", "R", True),
        ("\n\nR. And so on", "R", True),
        ("Ribbon", "R", False),
        ("R2", "R", False),
        ("R_2", "R", False),
        ("red, of course", "red", True),
        ("reddish", "red", False),
        ("red-brown", "red", False),
        ("red - brown", "red", True),
        ("red-", "red", True),
        ("sixty-four", "sixty", False),
        ("sixty-four", "sixty-four", True),
        ("cat's", "cat", False),
        ("cat’s", "cat", False),
        ("‘cat’ it is", "cat", False),
        ("10", "1", False),
        ("1.5", "1", False),
        ("1,000", "1", False),
        ("1. Next", "1", True),
        ("1, 2", "1", True),
        ("New York City", "New York", True),
        ("New Yorker", "New York", False),
        ("the red", "red", False),
        ("Red", "red", False),
        ("cafe\u0301 au lait", "cafe", False),
        ("cafe\u0301 au lait", "caf\u00e9", True),
        ("巴黎是首都", "巴黎", True),  # noqa: RUF001
        ("", "red", False),
        ("red", "", False),
    ],
)
def test_a_text_begins_with_a_whole_answer(text: str, answer: str, found: bool) -> None:
    assert begins(text, answer) is found


def test_of_a_text_that_was_cut_behind_the_answer_it_is_not_known() -> None:
    assert begins(" red", "red", ended=True) and not begins(" red", "red", ended=False)
    assert begins(" red.", "red", ended=False)


@pytest.mark.parametrize(
    ("answer", "spelling", "other", "found"),
    [
        ("paris", "space-capital", ("france", "french"), ("paris", "Paris")),
        ("paris", "space", ("france",), ("paris",)),
        ("Apple", "space-lower", ("apple", "A"), ("Apple",)),  # capitalise: in lower case it is the query
        ("a", "capital", ("apple", "A"), ("a",)),  # first letter, small: capitalised it is the contrast
        ("No", "plain", ("x",), ("No",)),
    ],
)
def test_case_counts_where_case_is_the_answer(
    answer: str, spelling: str, other: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert forms(answer, spelling, other=other) == found


def test_the_longest_option_counts() -> None:
    options = ("red", "red wine", "white")
    assert option_of(" red wine, please", options, "space") == "red wine"
    assert option_of(" red winery", options, "space") == "red"
    assert option_of(" rose", options, "space") is None
    assert option_of(" White", options, "space-capital") == "white"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\n\nThe capital of France is", "⏎⏎ The capital of"), ("", ""), ("  \n", "⏎"), (" yes\nno", "yes")],
)
def test_texts_are_counted_by_how_they_open(text: str, shown: str) -> None:
    assert opening(text) == shown
