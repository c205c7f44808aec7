"""Every page asks as Behaviour found best, says so, and leaves what the address or the user names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ivx.jobs.worker import worker
from ivx.models.load import load
from ivx.tasks.way import Way
from ivx.ui.kit import asking
from tests.support.recommending import asked_by, keep, with_verdicts

APP = Path(__file__).parents[2] / "app.py"
SFT, TASK = "tiny-sft", "animal/colour"
SHOWN = asking.INITIAL | {"by": "8"}


@pytest.fixture(scope="module")
def best() -> Iterator[str]:
    found = with_verdicts(asked_by(load(SFT), TASK, seed=17), prompt=2, demonstrations=12)
    keep(worker().store, found)
    yield found.run_id
    worker().store.delete(found.run_id)


def opened(page: str, **told: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=180).switch_page(f"ivx/ui/pages/{page}.py")
    for key, value in {"checkpoint": SFT, "task": TASK, **told}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def way(app: AppTest) -> dict[str, Any]:
    return {key: app.session_state[key] for key in asking.INITIAL}


def said(app: AppTest) -> str:
    return " ".join(one.proto.body for one in app.get("html") if "Behaviour found best" in one.proto.body)


PAGES = ("effects", "interactions", "training", "overview")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_as_behaviour_found_best_and_goes_back_by_a_click(page: str, best: str) -> None:
    family = {"family": "own choice", "checkpoints": f"tiny-base,{SFT}"} if page == "training" else {}
    app = opened(page, **family)
    assert way(app) == SHOWN and "Asked as Behaviour found best: 8 demonstrations" in said(app) and best in said(app)
    assert app.query_params["by"] == "8", "a link names it"
    app.button("asked-otherwise").click().run()
    assert way(app) == asking.INITIAL and "Asked by an instruction; Behaviour found best" in said(app)
    assert app.query_params["asked"] == "plain" and "by" not in app.query_params
    app.button("asked-otherwise").click().run()
    assert way(app) == SHOWN and "asked" not in app.query_params


@pytest.mark.parametrize(
    ("named", "held"),
    [({"asked": "plain"}, {}), ({"by": "4"}, {"by": "4"}), ({"format": "query"}, {"format": "query"})],
)
def test_what_the_address_names_stays(named: dict[str, str], held: dict[str, str], best: str) -> None:
    app = opened("effects", **named)
    assert way(app) == asking.INITIAL | held
    app.selectbox("task").set_value("animal/can-fly").run()
    app.selectbox("task").set_value(TASK).run()
    assert way(app) == asking.INITIAL | held


def test_it_follows_the_task_and_what_the_user_chooses_stays(best: str) -> None:
    app = opened("effects")
    app.selectbox("task").set_value("animal/can-fly").run()
    assert way(app) == asking.INITIAL and not said(app)
    app.selectbox("task").set_value(TASK).run()
    assert way(app) == SHOWN
    app.selectbox("by").set_value("0").run()
    assert way(app) == asking.INITIAL and app.query_params["asked"] == "plain"
    app.selectbox("task").set_value("animal/can-fly").run()
    app.selectbox("task").set_value(TASK).run()
    assert way(app) == asking.INITIAL


@pytest.mark.parametrize("page", ["pathways", "separability", "lens"])
def test_a_page_that_demonstrations_cannot_be_asked_on_says_so(page: str, best: str) -> None:
    app = opened(page)
    assert "8 demonstrations; " in said(app) and "Asked by an instruction" in said(app)


@pytest.mark.parametrize("page", [*PAGES, "pathways", "separability", "lens"])
def test_without_a_run_of_behaviour_nothing_changes(page: str) -> None:
    app = opened(page, task="verb/past", checkpoint="tiny-dpo")
    assert way(app) == asking.INITIAL and not said(app) and "asked" not in app.query_params


def test_a_way_in_words() -> None:
    assert asking.said(Way()) == "an instruction" and asking.said(Way(demonstrations=4)) == "4 demonstrations"
    assert "a user’s turn" in asking.said(Way("chat", system="Be brief."))
    assert "a template of one’s own" in asking.said(Way("chat", "{query}"))
    assert asking.told_by_instruction(Way(demonstrations=4, spelling="plain")) == Way(spelling="plain")
    assert asking.told_by_instruction(Way("chat")) == Way("chat")
