"""The address is the truth: what it names is opened, or is said not to be open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx.models.registry import EMBEDDED
from ivx.tasks import catalogue
from ivx.ui.kit import address

APP = Path(__file__).parents[2] / "app.py"
ALIKE = ("overview", "behaviour", "place", "effects", "separability", "interactions", "pathways", "lens", "bench")
NAMED = {page: "checkpoint" for page in (*ALIKE, "checkpoints", "tasks")} | {"training": "checkpoints"}


def opened(page: str, **told: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"ivx/ui/pages/{page}.py")
    app.query_params.update(told)
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def named(app: AppTest, key: str) -> str:
    """What the address says of a key: a text, or a list of one until the app has written it."""
    told = app.query_params[key]
    return told if isinstance(told, str) else told[-1]


def said(app: AppTest) -> str:
    return " ".join(one.proto.body for one in app.get("html"))


@pytest.mark.parametrize("page", NAMED)
def test_no_other_model_is_shown_under_a_name_that_is_not_open(page: str) -> None:
    for name, why in (("nonsense", "there is no checkpoint"), ("/etc", "does not lie under a directory")):
        app = opened(page, **{NAMED[page]: name})
        assert f"{name} is not open here" in said(app) and why[1:] in said(app)
        assert not app.get("vega_lite_chart") and named(app, NAMED[page]) == name


@pytest.mark.parametrize("page", ["effects", "training", "tasks"])
def test_a_task_that_is_gone_is_said_to_be(page: str) -> None:
    app = opened(page, checkpoint="tiny-sft", task="/tmp/elsewhere/pets.csv")
    assert "The task pets.csv is not here" in said(app) and "/tmp/elsewhere" not in said(app)
    app.selectbox("task").select("animal/can-fly").run()
    assert "is not here" not in said(app) and named(app, "task") == "animal/can-fly"


def test_a_task_of_other_checkpoints_is_said_to_be() -> None:
    theirs = next(task for task in catalogue.tasks("english") if task not in catalogue.tasks("tiny"))
    assert "It is not a task of what is chosen above" in said(opened("effects", checkpoint="tiny-sft", task=theirs))


def test_a_name_that_is_not_open_gives_way_to_a_choice() -> None:
    app = opened("tasks", checkpoint="nonsense")
    assert app.selectbox("checkpoint").value is None
    app.selectbox("checkpoint").select("tiny-dpo").run()
    assert "not open here" not in said(app) and named(app, "checkpoint") == "tiny-dpo"


def test_a_checkpoint_under_a_root_is_opened_again_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    shutil.copytree(EMBEDDED / "tiny-sft", root / "mine")
    shutil.copytree(EMBEDDED / "tiny-sft", elsewhere / "theirs")
    (root / "link").symlink_to(elsewhere / "theirs")
    (root / "empty").mkdir()
    monkeypatch.setenv("IVX_ROOTS", str(root))
    mine = str(root / "mine")
    app = opened("tasks", checkpoint=mine, task="animal/can-fly", dtype="float64")
    assert app.selectbox("checkpoint").value == mine
    assert app.session_state[address.OTHERS] == [(mine, "float64", "auto", "auto")]
    assert named(app, "dtype") == "float64" and "weights" not in app.query_params
    app.selectbox("checkpoint").select("tiny-sft").run()
    assert "dtype" not in app.query_params
    for name in ("link", "empty", "none"):
        assert f"{root / name} is not open here" in said(opened("tasks", checkpoint=str(root / name)))
    assert "was not fetched from the hub" in said(opened("tasks", checkpoint="nobody/nothing"))
    both = opened("training", family="own choice", checkpoints=f"tiny-sft,{mine}")
    assert both.session_state["picked"] == ["tiny-sft", mine]
