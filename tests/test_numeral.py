"""Digits are ASCII digits, wherever an address or a command writes them."""

from __future__ import annotations

import pytest

from ivx.numeral import index_of, integer


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("8", None), ("", None), ("²", None), ("٣", None), ("-1", None), ("+1", None)]
    + [("1_0", None), (" 1", None), ("1.0", None), ("9" * 5000, None), ("①", None), ("x", None)],
)
def test_only_ascii_digits_below_the_bound_are_an_index(text: str, number: int | None) -> None:
    assert index_of(text, below=8) == number


def test_an_option_is_written_in_ascii_digits() -> None:
    assert [integer(text) for text in ("0", "12", "-3", "9" * 18)] == [0, 12, -3, int("9" * 18)]
    for text in ("", "-", "²", "٣", "+1", "1_0", " 1", "1.0", "--1", "9" * 19, "9" * 5000):
        with pytest.raises(ValueError):
            integer(text)
