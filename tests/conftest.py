"""The suite runs offline, on two threads' worth of a small machine, with a store of its own."""

from __future__ import annotations

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if not any(os.path.exists(device) for device in ("/dev/nvidiactl", "/dev/kfd")):  # no GPU: its kernels are interpreted
    os.environ.setdefault("TRITON_INTERPRET", "1")
from ivx import scratch  # noqa: E402  (before what reads the environment)

STORE = scratch.folder("store")
os.environ["IVX_CACHE"] = STORE.name

from collections.abc import Generator, Iterator  # noqa: E402  (after the environment is set)

import pytest  # noqa: E402
import torch  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from ivx.charts import frame  # noqa: E402
from ivx.models.library import ALONE  # noqa: E402
from tests.support import jobs  # noqa: E402
from tests.support.browser import ARGS, chromium, serving, shown  # noqa: E402

torch.set_num_threads(1)
frame.CHECKED = True
jobs.remember()


@pytest.fixture(autouse=True)
def _main() -> Iterator[None]:
    """A page that is run in this process takes the place of `__main__`, which processes begun later would run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def _jobs() -> Iterator[None]:
    """No job outlives the test that asked for it."""
    yield
    assert not (left := jobs.end()), left


@pytest.fixture(autouse=True)
def _library() -> Iterator[None]:
    """Whoever reads a checkpoint beside a job that does leaves transformers without its own functions, for all that
    come later (`tests.support.published`): let it be found where it happens."""
    yield
    modelling = sys.modules.get("transformers.modeling_utils")
    if modelling is not None:
        with ALONE:
            left = {name: getattr(modelling.PreTrainedModel, name).__name__ for name in ("tie_weights", "init_weights")}
        assert all(name == own for name, own in left.items()), f"transformers was left altered: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a browser come first: they are the longest, and would keep one process busy after all others."""
    browsers = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in browsers)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the pages of a failed test show stands in its report."""
    report = yield
    if report.failed and (pages := shown()):
        report.sections.append(("pages", pages))
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, for one file of tests: while it is there no other event loop can run."""
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=ARGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def app() -> Iterator[str]:
    """The address of an app that runs for all tests of a process."""
    with serving() as url:
        yield url
