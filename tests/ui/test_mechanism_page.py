"""The Mechanism page: a head that is opened, its card, its maps, and a sentence made from the verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ivx
from ivx.analyses.mechanism.result import Mechanism
from ivx.jobs.worker import worker
from ivx.models.load import load
from tests.support.pages import plain
from tests.support.recommending import keep

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture(scope="module")
def found() -> Iterator[Mechanism]:
    result = ivx.mechanism(load("tiny-sft"), "animal/colour", samples=16, heads=2)
    keep(worker().store, result)
    yield result
    worker().store.delete(result.run_id)


def test_a_stored_run_opens_with_the_head_that_the_address_names(found: Mechanism) -> None:
    second = found.cells()[1]
    app = AppTest.from_file(str(APP), default_timeout=240).switch_page("ivx/ui/pages/mechanism.py")
    app.query_params["run"], app.query_params["cell"] = found.run_id, second.patch
    app.run()
    assert not app.exception
    said = plain(" ".join(one.proto.body for one in app.get("html")))
    assert f"Layer {second.layer}, head {second.head}" in said and "where it looks less what it reads" in said
    assert f"{second.name} told animal/colour" in said and f"{second.name} told animal/can-fly" in said
    assert "Told the task whole, the answer moves by" in said and "tokens align by length" in said
    charts = [json.loads(one.proto.spec) for one in app.get("vega_lite_chart")]
    assert len(charts) == 3, "the parts, and what the head looks at in both runs"
