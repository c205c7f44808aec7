"""Whole archives with one thing wrong are refused in one sentence: none is believed, none fails where it is shown."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest

from ivx.archive import unpack
from ivx.errors import IvxError
from tests.archive.mutations import COUNT, Mutation, Parts, bases, became, mutation, zipped

STEP = 100
MUTATIONS = range(COUNT)
QUICK = MUTATIONS[3::STEP]


@pytest.mark.parametrize("kind", ["effects", pytest.param("behaviour", marks=pytest.mark.slow)])
def test_what_was_not_harmed_comes_back(kind: str) -> None:
    assert became(Mutation(kind, zipped(parts(kind).packed()))) == "accepted"


@pytest.mark.slow
def test_none_that_was_not_harmed_is_refused() -> None:
    assert {kind: became(Mutation(kind, zipped(parts(kind).packed()))) for kind in bases()} == dict.fromkeys(
        bases(), "accepted"
    )


@pytest.mark.parametrize("number", QUICK)
def test_an_archive_with_one_thing_wrong_is_refused(number: int) -> None:
    one = mutation(number)
    assert became(one) == "refused", one.what


@pytest.mark.slow
def test_so_is_every_other() -> None:
    every = [mutation(k) for k in MUTATIONS if k not in QUICK]
    assert not {one.what: told for one in every if (told := became(one)) != "refused"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.receipt.pop("contrast"), "receipt, contrast"),
        (lambda parts: parts.receipt.update(contrast=None), "receipt, contrast"),
        (lambda parts: parts.asked["request"].update(checkpoint="a\x1b[31mb"), "request, checkpoint"),
        (lambda parts: parts.asked["request"].update(template="x \u202e y"), "request, template"),
        (lambda parts: lacking(parts, parts.table.num_rows - 1), "every sample of each patch"),
        (lambda parts: lacking(parts, 0), "every sample of each patch"),
    ],
)
def test_what_is_wrong_is_said(change: Any, said: str) -> None:
    told = parts("effects")
    change(told)
    with pytest.raises(IvxError, match=said):
        unpack.unpack(io.BytesIO(zipped(told.packed())))


def lacking(told: Parts, row: int) -> None:
    told.table = told.table.filter([k != row for k in range(told.table.num_rows)])
    told.receipt["rows"] = told.table.num_rows


def parts(kind: str) -> Parts:
    asked, receipt, context, table = bases()[kind]
    return Parts(*copy.deepcopy((asked, receipt, context)), table)


def test_a_run_without_samples_of_its_own_is_told_in_short() -> None:
    """A lens has neither a contrast nor a seed; its receipt says so, and the page draws it."""
    from ivx.ui.library import runs

    _, receipt, _, _ = bases()["effects"]
    told = json.loads(json.dumps(receipt))
    told["request"] = {"checkpoint": "tiny-sft", "task": "", "prompt": "one"}
    for name in ("contrast", "control"):
        told.pop(name, None)
    shown = runs.facts(told)
    assert shown["task"] == "–" and shown["samples"] == f"n = {told['samples']}" and shown["control"] == "none"
