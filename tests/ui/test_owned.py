"""What is somebody's own on a server that several use: no other session sees a run, upload or checkpoint of it."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx import scratch
from ivx.analyses.defaults import glance
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.lens.request import LensRequest
from ivx.errors import CheckpointError, IvxError
from ivx.jobs import worker as workers
from ivx.jobs.job import Job
from ivx.models import door, paths
from ivx.models.registry import EMBEDDED
from ivx.store.store import Store
from ivx.ui.kit import limits, owned, roots, visitor

APP = str(Path(__file__).parents[2] / "app.py")
WORD = "zqprivateword"
MINE = EffectsRequest("tiny-sft", "animal/colour", template="{instruction} " + WORD + " {field}: {query}. Answer:")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> workers.Worker:
    """A worker on an empty store, of a server that several use."""
    monkeypatch.setenv(paths.CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv(paths.ROOTS, str(tmp_path))
    made = workers.Worker(Store(tmp_path / "cache"))
    monkeypatch.setattr(workers, "_worker", lambda: made)
    return made


def page(name: str, **asked: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120)
    for key, value in asked.items():
        app.query_params[key] = value
    return app.switch_page(f"ivx/ui/pages/{name}.py").run()


def told(app: AppTest) -> str:
    """All that a session is sent."""
    return str(app._tree) + " ".join(str(one.proto) for one in app.get("html")) + str(app.query_params)


def computed(fresh: workers.Worker, app: AppTest, request: EffectsRequest | LensRequest) -> str:
    """Have a request computed by a session; its run."""
    job = fresh.submit(request, session=app.session_state[visitor.SESSION])
    assert job.wait(120) and job.view().state == "done", job.view().message
    return str(job.view().result.run_id)


def test_a_run_with_words_of_ones_own_is_its_askers_alone(fresh: workers.Worker) -> None:
    mine = page("effects", checkpoint="tiny-sft", task=MINE.task, template=MINE.template, asked="plain")
    job = next(one for one in fresh._jobs.values() if isinstance(one.request, EffectsRequest))
    assert job.wait(120)
    run = str(job.view().result.run_id)
    mine.run()
    listed = mine.switch_page("ivx/ui/pages/runs.py").run()
    assert run in str(listed.dataframe[0].value), "whoever asked for it sees it"
    other = page("runs", chosen=run)
    assert not other.exception and run not in "".join(str(one.value) for one in other.dataframe)
    assert WORD not in told(other)
    guessed = page("effects", run=run)
    assert not guessed.exception and "not here" in told(guessed) and WORD not in told(guessed)


def test_a_run_of_known_words_is_everybodys_to_open_and_its_makers_to_delete(fresh: workers.Worker) -> None:
    request = glance("tiny-sft", "noun/plural")["effects"]
    first = page("effects", checkpoint="tiny-sft", task="noun/plural")
    run = computed(fresh, first, request)  # type: ignore[arg-type]
    other = page("runs", chosen=run)
    assert run in str(other.dataframe[0].value)
    buttons = {one.label: one for one in other.button}
    assert buttons["Delete it"].disabled and buttons["Pin"].disabled


@pytest.mark.parametrize(
    ("asked", "private"),
    [
        ({"checkpoint": "tiny-sft", "task": "animal/colour"}, False),
        ({"checkpoint": "tiny-sft", "tasks": ["animal/colour", "noun/plural"]}, False),
        ({"checkpoint": "tiny-sft", "task": "animal/colour", "template": "x"}, True),
        ({"checkpoint": "tiny-sft", "task": "animal/colour", "system": "x"}, True),
        ({"checkpoint": "tiny-sft", "task": "/a/b.csv?query=x"}, True),
        ({"checkpoint": "tiny-sft", "tasks": ["noun/plural", "own.jsonl"]}, True),
        ({"checkpoint": "tiny-sft", "prompt": "x"}, True),
        ({"checkpoint": "tiny-sft", "texts": ["x"]}, True),
        ({"checkpoint": "/models/mine", "task": "animal/colour"}, True),
        ({"checkpoint": "tiny-sft+/models/adapter", "task": "animal/colour"}, True),
        ({"checkpoint": "tiny-sft", "adapter": "/models/adapter", "task": "animal/colour"}, True),
        ({}, True),
    ],
)
def test_what_is_private(asked: dict[str, object], private: bool) -> None:
    assert owned.is_private({"request": asked}) is private
    assert owned.is_private({"request": asked, "imported": True}), "its maker is not known"


def test_another_users_job_is_not_named_and_cannot_be_stopped(fresh: workers.Worker) -> None:
    job = fresh._jobs[MINE] = Job(MINE, "somebody")
    job.wanted = True
    app = page("runs")
    assert not app.exception and "somebody else’s request" in told(app)
    assert WORD not in told(app) and "animal/colour" not in told(app)
    assert not [one for one in app.button if one.label == "Stop"], "though nobody looks at it"
    job.leave("somebody")


def test_uploads_lie_in_a_folder_that_goes_with_the_session(fresh: workers.Worker) -> None:
    script = """
from ivx.ui.kit import visitor
import streamlit as st
st.text(str(visitor.keep("a", {"own.csv": b"zqprivateword"})))
"""
    app, other = AppTest.from_string(script).run(), AppTest.from_string(script).run()
    place = Path(app.text[0].value)
    assert (place / "own.csv").read_bytes() == WORD.encode() and place.stat().st_mode & 0o77 in (0, 0o55)
    assert place.parent.stat().st_mode & 0o77 == 0 and place.parent != Path(other.text[0].value).parent
    del app
    gc.collect()
    assert not place.parent.exists() and Path(other.text[0].value).exists()


def test_uploads_of_a_server_that_was_killed_are_swept(fresh: workers.Worker) -> None:
    place = paths.cache() / "uploads"
    with scratch.folder("of", among=place) as lives:
        gone = place / f"{scratch.PREFIX}abcdefgh"  # of a process whose lock is let go of
        (gone / "of-x").mkdir(parents=True)
        assert visitor.swept() == 1 and not gone.exists() and Path(lives).exists()


@pytest.mark.parametrize(
    ("name", "value", "files", "said"),
    [
        (limits.UPLOADS, "1", {"a.csv": b"1", "b.csv": b"2"}, "1 uploaded files"),
        (limits.UPLOAD_MB, "0.001", {"a.csv": b"x" * 1001}, "0.001 MB"),
    ],
)
def test_a_user_keeps_as_many_files_as_allowed(
    fresh: workers.Worker, monkeypatch: pytest.MonkeyPatch, name: str, value: str, files: dict[str, bytes], said: str
) -> None:
    monkeypatch.setenv(name, value)
    script = f"""
import streamlit as st
from ivx.errors import IvxError
from ivx.ui.kit import visitor
try:
    visitor.keep("a", {files!r})
except IvxError as error:
    st.text(str(error))
"""
    app = AppTest.from_string(script).run()
    assert not app.exception and said in app.text[0].value and name in app.text[0].value


def test_two_sessions_of_one_user_share_a_limit(fresh: workers.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.UPLOADS, "2")
    users = iter(("ann", "ann", "bob"))
    monkeypatch.setattr(visitor, "signed_in", lambda: next(users))
    script = """
import streamlit as st
from ivx.errors import IvxError
from ivx.ui.kit import visitor
try:
    visitor.keep("a", {"1.csv": b"1", "2.csv": b"2"})
    st.text("kept")
except IvxError as error:
    st.text(str(error))
"""
    first, second, others = (AppTest.from_string(script).run() for _ in range(3))
    assert [app.text[0].value.partition(":")[0] for app in (first, second, others)] == [
        "kept",
        "this server keeps 2 uploaded files of one user",
        "kept",
    ]
    del first
    gc.collect()
    assert second.run().text[0].value == "kept", "what the other page had went with it"


def test_guests_open_the_listed_checkpoints_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = str(EMBEDDED / "tiny-dpo")
    monkeypatch.setenv(limits.CHECKPOINTS, f"smollm2{os.pathsep}{listed}")
    for name in ("tiny-sft", "smollm2", listed, f"{listed}/../tiny-dpo"):
        assert roots.admitted(name) == name
    for name in (str(EMBEDDED / "tiny-sft"), "org/model", f"smollm2+{tmp_path}", "smollm2@main"):
        with pytest.raises(CheckpointError, match=limits.CHECKPOINTS):
            roots.admitted(name)


def test_a_checkpoint_larger_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    large = str(EMBEDDED / "tiny-sft")
    monkeypatch.setenv(door.MODEL_GB, "0.001")
    with pytest.raises(CheckpointError, match=r"0\.0 GB of files, and this server opens up to 0\.001 GB"):
        roots.admitted(large)
    monkeypatch.setenv(door.MODEL_GB, "1")
    assert roots.admitted(large) == large


def test_one_user_waits_for_as_many_requests_as_allowed(fresh: workers.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.JOBS, "0")
    app = page("effects", checkpoint="tiny-sft", task="adjective/antonym")
    assert not app.exception and limits.JOBS in told(app)


@pytest.mark.parametrize(
    ("name", "value"),
    [(limits.JOBS, "many"), (limits.JOBS, "-1"), (limits.UPLOAD_MB, "nan"), (door.MODEL_GB, "inf")],
)
def test_a_limit_that_is_none_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(IvxError, match=f"{name} is '{value}': give a"):
        limits.limits()
