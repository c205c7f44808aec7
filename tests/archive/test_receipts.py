"""Nonsense in a receipt is refused in one sentence, and what no page knows is left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ivx.errors import IvxError
from ivx.formats.receipts import receipt_read
from tests.archive.nonsense import BAD, places, put

RECEIPT: dict[str, Any] = {
    "run": "0123456789ab",
    "kind": "effects",
    "request": {},
    "checkpoint": {"name": "tiny", "fingerprint": "ab12"},
    "task": "animal/colour",
    "dtype": "float32",
    "device": "cpu",
    "weights": "weights on disk",
    "engine": "1",
    "versions": {"ivx": "1", "torch": "2", "transformers": "5"},
    "warnings": ["beware"],
    "how": "hooks",
    "checks": [{"name": "one", "passed": True, "deviation": 1e-7, "tolerance": 1e-5, "detail": "more"}],
    "rows": 9,
    "samples": 3,
    "seconds": 1.5,
    "contrast": "animal/can-fly",
    "control": None,
}
NEVER = {
    "true",
    "negative",
    "huge",
    "vast",
    "NaN",
    "infinite",
    "long text",
    "control characters",
    "turned around",
    "half a letter",
    "a list",
    "deep",
}


@pytest.mark.parametrize("place", [p for p in places(RECEIPT) if p[0] != "request"], ids=str)
def test_a_field_of_a_receipt(place: tuple[Any, ...]) -> None:
    for what, value in BAD:
        told = copy.deepcopy(RECEIPT)
        put(told, place, value)
        if told == RECEIPT or what not in NEVER:
            continue
        with pytest.raises(IvxError) as caught:
            receipt_read(told)
        assert "\n" not in str(caught.value), what


def test_other_fields_are_left_out() -> None:
    assert receipt_read({**RECEIPT, "gates": ["<b>"], "x" * 999: 1}) == RECEIPT
