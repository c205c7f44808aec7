"""Pages and their jobs: whatever the moment in which one ends, what comes after it is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from ivx.analyses.transplant.request import TransplantRequest
from ivx.jobs import worker as workers
from ivx.jobs.worker import Wake, worker
from ivx.store.store import Store
from ivx.ui.kit import progress, session, visitor
from tests.support.browser import ROOT
from tests.support.pages import separability


def training() -> None:
    from ivx.charts.palette import LIGHT
    from ivx.ui.training import page as training

    training.show(training.controls(), LIGHT)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Whatever a page follows has ended by the time it does; the names of what was followed."""
    follow, followed = progress.follow_several, []

    def late(requests: Mapping[str, Any], **more: Any) -> None:
        followed.append(list(requests))
        begun = [session.job(r, compute=True) for name, r in requests.items() if name not in more.get("unasked", ())]
        assert all(job is not None and job.wait(60) for job in begun)
        follow(requests, **more)

    fresh = workers.Worker(Store())
    monkeypatch.setattr(workers, "_worker", lambda: fresh)  # one that has seen no request yet
    monkeypatch.setattr(session, "SEEK_SECONDS", 0.0)  # the page does not wait for the store: it sees jobs under way
    monkeypatch.setattr(progress, "follow_several", late)
    return followed


def test_a_stage_that_ends_while_it_is_looked_at_is_followed_by_the_next(late: list[list[str]]) -> None:
    page = AppTest.from_function(separability, default_timeout=60)
    page.query_params.update({"checkpoint": "tiny-sft-period", "beside": "none"})
    page.run()
    assert not page.exception
    assert len(late) > 1 and set(late[0]) < set(late[-1]) and len(late[-1]) == 5, late
    assert not any(caption.value.startswith("Stopped") for caption in page.caption), "the erasure was looked up only"


def test_vectors_that_end_while_they_are_looked_at_are_followed_by_transplants(late: list[list[str]]) -> None:
    page = AppTest.from_function(training, default_timeout=60)
    page.query_params.update({"checkpoints": "tiny-base,tiny-sft", "task": "animal/colour", "show": "transplant"})
    page.run()
    assert not page.exception and len(late) == 2 and len(late[0]) == 2 and len(late[1]) == 4


def test_a_link_to_transplants_computes_the_vectors_that_are_not_stored() -> None:
    page = AppTest.from_function(training, default_timeout=60)
    page.query_params.update({"checkpoints": "tiny-base,tiny-sft", "task": "verb/past", "show": "transplant"})
    until = time.monotonic() + 180
    while not page.run().exception and time.monotonic() < until:
        jobs = worker()._jobs
        asked = [one for one in jobs if isinstance(one, TransplantRequest) and one.task == "verb/past"]
        if len(asked) == 4:
            break
        time.sleep(0.2)
    assert not page.exception and len(asked) == 4
    page.button(key="stop").click().run()
    assert all(job.wait(60) for job in worker()._jobs.values())


def test_a_store_that_cannot_be_used_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVX_CACHE_GB", "ten")
    monkeypatch.setattr(workers, "_worker", lambda: workers.Worker(Store()))
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("ivx/ui/pages/overview.py").run()
    told = [part.body for part in page.get("html") if isinstance(part, Element)]
    assert not page.exception and any("IVX_CACHE_GB is &#x27;ten&#x27;" in body for body in told)


@pytest.mark.parametrize(("name", "loading"), [("lens", {}), ("pathways", {"dtype": "float32"})])
def test_a_checkpoint_is_read_as_soon_as_it_is_chosen(
    name: str, loading: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = workers.Worker(Store())
    monkeypatch.setattr(workers, "_worker", lambda: fresh)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page(f"ivx/ui/pages/{name}.py").run()
    assert not page.exception and fresh.find(Wake("tiny-sft", **loading)) is None, "a first page is not held up by it"
    page.session_state["checkpoint"] = "tiny-dpo"
    page.run()
    ahead = fresh.find(Wake("tiny-dpo", **loading))
    assert not page.exception and ahead is not None and ahead.wait(60) and ahead.view().state == "done"
    page.run()
    assert fresh.find(Wake("tiny-dpo", **loading)) is ahead, "once a choice"
    assert ahead.sessions == {page.session_state[visitor.SESSION]}
