"""The page Runs: a run is chosen by its id, whatever else goes on in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx.analyses.transfer.request import TransferRequest
from ivx.jobs.compute import computed
from ivx.jobs.shipped import adopted
from ivx.jobs.worker import worker
from ivx.models.load import load
from ivx.models.registry import RUNS
from ivx.ui.library.listing import DRAWN, ordered

APP = Path(__file__).parents[2] / "app.py"
A, B, C = sorted(path.stem for path in RUNS.glob("*.parquet"))[:3]


@pytest.fixture
def app() -> Iterator[AppTest]:
    if worker().store.find(C) is not None:
        worker().store.delete(C)
    for run in (A, B):
        adopted(worker().store, run)
    app = AppTest.from_file(str(APP), default_timeout=120).switch_page("ivx/ui/pages/runs.py").run()
    assert not app.exception
    yield app
    for run in (A, B, C):
        if worker().store.find(run) is not None:
            worker().store.delete(run)


def named(app: AppTest, key: str) -> str:
    """What the address says of a key: a text, or a list of one until the app has written it."""
    told = app.query_params[key]
    return told if isinstance(told, str) else told[-1]


def said(app: AppTest) -> str:
    return " ".join(one.proto.body for one in app.get("html"))


def pick(app: AppTest, *runs: str) -> None:
    app.session_state["chosen"] = ",".join(runs)
    app.run()
    assert not app.exception


def test_runs_keep_their_places_while_one_is_chosen() -> None:
    assert ordered(["c", "b", "a"], ["a", "b", "d"], frozen=False) == ["c", "b", "a"]
    assert ordered(["c", "b", "a"], ["a", "b", "d"], frozen=True) == ["a", "b", "c"]


def test_a_chosen_run_stays_while_others_come_and_are_used(app: AppTest) -> None:
    pick(app, B)
    before = app.session_state[DRAWN]
    assert f"Run {B}" in said(app) and named(app, "chosen") == B
    adopted(worker().store, C)  # the last used, so that it would be the first
    app.run()
    turn, order = app.session_state[DRAWN]
    assert f"Run {B}" in said(app) and order == [*before[1], C] and turn == before[0] + 1
    shown = app.session_state[f"runs-{turn}"]["selection"]["rows"]
    assert [order[k] for k in shown] == [B]


def test_a_link_to_a_run_of_the_list_chooses_it(app: AppTest) -> None:
    other = AppTest.from_file(str(APP), default_timeout=120).switch_page("ivx/ui/pages/runs.py")
    other.query_params["chosen"] = f"{A},{B}"
    assert f"{A} · {B}" in said(other.run())
    other.query_params["chosen"] = "0" * 12
    other.session_state["chosen"] = "0" * 12
    assert "choose one in the list" in said(other.run())


def test_filters_leave_what_they_name(app: AppTest) -> None:
    run = worker().store.find(A)
    assert run is not None
    kind = run.asked["kind"]
    app.selectbox("of-kind").select(kind).run()
    drawn = app.session_state[DRAWN][1]
    assert A in drawn and named(app, "of-kind") == kind
    shown = [worker().store.find(one) for one in drawn]
    assert {None if one is None else one.asked["kind"] for one in shown} == {kind}
    other = AppTest.from_file(str(APP), default_timeout=120).switch_page("ivx/ui/pages/runs.py")
    other.query_params["of-task"] = "none/such"
    assert "No run is like this" in said(other.run())


def test_a_stored_transfer_opens_on_pathways_with_its_matrix(app: AppTest) -> None:
    asked = TransferRequest("tiny-sft", ("animal/colour", "animal/can-fly"), samples=8, heads=2)
    found = computed(worker().store, load("tiny-sft", dtype=asked.dtype), asked)
    try:
        pick(app, found.run_id)
        next(button for button in app.button if button.label == "Open").click().run()
        assert not app.exception and named(app, "run") == found.run_id
        told = said(app)
        assert "Carried" in told and "2 heads each, n = 8" in told and "This run is not here" not in told
        assert "<h2>animal/colour on animal/can-fly</h2>" in told or "<h2>animal/can-fly on animal/colour</h2>" in told
    finally:
        worker().store.delete(found.run_id)
