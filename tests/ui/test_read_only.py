"""A store that cannot be written to is read in the app: its runs open, and each page says that nothing new is kept."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ivx.analyses.effects.request import EffectsRequest
from ivx.jobs.compute import computed
from ivx.models.load import load
from ivx.store.store import Store
from tests.store.test_rights import NOBODY, opened_up

ROOT = Path(__file__).parents[2]
REQUEST = EffectsRequest("tiny-sft", "animal/colour", samples=2, sites=("z",), position="last")
DROP, OVERRIDE = 24, 1
"""Linux's numbers: give a capability up for good, and the one by which rights do not hold root."""
PAGES = """
import sys
run = sys.argv[1]
from streamlit.testing.v1 import AppTest
from ivx.jobs.worker import worker

def shown(page, **asked):
    app = AppTest.from_file("app.py", default_timeout=300)
    for key, value in asked.items():
        app.query_params[key] = value
    app.switch_page(f"ivx/ui/pages/{page}.py").run()
    assert not app.exception, (page, app.exception)
    told = str(app._tree) + " ".join(str(one.proto) for one in app.get("html"))
    assert "nothing new is computed or kept: the store " in told and "IVX_CACHE" in told, page
    return app, told

try:
    (worker().store.root / "runs" / "new").mkdir()
    sys.exit("rights do not hold here")
except PermissionError:
    assert worker().store.read_only
assert run in str(shown("runs")[0].dataframe[0].value)
app, told = shown("effects", run=run)
assert f"Run {run}" in told and "This run is not here" not in told
for page in sys.argv[2:]:
    shown(page)
"""


@pytest.mark.parametrize("pages", [["tasks"], pytest.param(["overview", "place", "lens"], marks=pytest.mark.slow)])
def test_a_store_that_can_only_be_read_is_read_in_the_app(tmp_path: Path, pages: list[str]) -> None:
    """Somebody else's, read by a process of root that rights hold, too."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a store to somebody else")
    root = tmp_path / "store"
    run = computed(Store(root), load("tiny-sft"), REQUEST).run_id
    opened_up(root)
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    settings = {**os.environ, "IVX_CACHE": str(root), "PYTHONPATH": str(ROOT)}
    libc = ctypes.CDLL(None)
    done = subprocess.run(
        [sys.executable, "-c", PAGES, run, *pages],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=500,
        preexec_fn=lambda: libc.prctl(DROP, OVERRIDE, 0, 0, 0),
    )
    assert not done.returncode, done.stderr[-3000:]
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
