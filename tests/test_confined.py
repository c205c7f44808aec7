"""A confined process is ended by the system: by its memory, its time, the size of a file; and it reaches nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ivx.confined.bounds import Bounds
from ivx.confined.line import MOST
from ivx.confined.original import Copy, Original
from ivx.errors import Ended, Failed, TaskError

ORIGINAL = Original("tests.support.confined")


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    ORIGINAL.end()


@pytest.fixture
def copy() -> Copy:
    return ORIGINAL.copy(Bounds(200_000_000, 2.0))


def test_it_answers_until_it_is_closed(copy: Copy) -> None:
    assert [copy.ask("twice", value=k) for k in range(3)] == [0, 2, 4]
    pid = copy.ask("pid")
    copy.close()
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
    with pytest.raises(Ended, match="broke off"):
        copy.ask("twice", value=1)


def test_what_ivx_raises_there_is_raised_here(copy: Copy) -> None:
    with pytest.raises(TaskError, match="choose another word"):
        copy.ask("refuse")
    with pytest.raises(Failed, match="ZeroDivisionError: division by zero"):
        copy.ask("fail")
    assert copy.ask("twice", value=2) == 4


@pytest.mark.parametrize("way", ["loop", "sleep", "expression"])
def test_its_time_ends_it_in_the_midst(way: str, copy: Copy) -> None:
    began = time.monotonic()
    with pytest.raises(Ended, match="took more than 1 s"):
        copy.ask(way, seconds=1.0)
    assert time.monotonic() - began < 5


def test_its_memory_ends_it(copy: Copy) -> None:
    with pytest.raises(Ended, match=r"took more than 0\.2 GB of memory|broke off"):
        copy.ask("swell", size=400_000_000)


def test_an_answer_that_is_vast_is_none(copy: Copy) -> None:
    with pytest.raises(Failed, match="its answer has more than"):
        ORIGINAL.copy(Bounds(2_000_000_000, 5.0)).ask("text", size=MOST + 1)


@pytest.mark.parametrize("way", ["connect", "look_up", "run", "fork"])
def test_it_reaches_nothing(way: str, copy: Copy) -> None:
    with pytest.raises(Failed, match="PermissionError"):
        copy.ask(way)


def test_it_reads_what_is_named_and_writes_at_its_desk(tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "own" / "link").symlink_to(tmp_path / "other" / "file")
    copy = ORIGINAL.copy(Bounds(200_000_000, 2.0), reads=[tmp_path / "own"])
    assert copy.ask("read", path=str(tmp_path / "own" / "file")) == "own"
    for path in ("other/file", "own/link", "own/../other/file", "ownx"):
        with pytest.raises(Failed, match="not its own file"):
            copy.ask("read", path=str(tmp_path / path))
    desk = copy.ask("write", size=1_000)
    assert os.path.exists(desk)
    with pytest.raises(Failed, match="File too large"):
        copy.ask("write", size=100_000_000)
    with pytest.raises(Failed, match="not its own file"):
        copy.ask("write", size=1, path=str(tmp_path / "own" / "new"))
    copy.close()
    assert not os.path.exists(desk)


def test_copies_end_with_whoever_asked(copy: Copy) -> None:
    pids = [ORIGINAL.copy(Bounds(200_000_000, 2.0)).ask("pid") for _ in range(3)]  # nobody holds them
    end = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
