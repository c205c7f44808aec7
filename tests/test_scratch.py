"""Folders for a while go with their process, however it ends; nobody else's do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ivx import scratch

MAKES = """
import os, sys, time
from pathlib import Path
from ivx import scratch
place = Path(sys.argv[1])
held = [scratch.folder(name, among=place) for name in ("one", "other")]
Path(held[0].name, "file").write_text("x")
os.symlink("/etc", Path(held[0].name, "link"))
print(held[0].name, flush=True)
{then}
"""


def begun(place: Path, then: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that has made two folders, and goes on so."""
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    one = subprocess.Popen(
        [sys.executable, "-c", MAKES.format(then=then), str(place)], stdout=subprocess.PIPE, text=True, env=told
    )
    assert one.stdout is not None
    return one, Path(one.stdout.readline().strip())


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    one, made = begun(tmp_path, "time.sleep(60)")
    yield one, made
    one.kill()
    one.wait()


@pytest.mark.parametrize("then", ["", "sys.exit(3)", "raise ValueError"])
def test_what_ends_in_order_leaves_nothing(then: str, tmp_path: Path) -> None:
    one, made = begun(tmp_path, then)
    one.wait(20)
    assert made.name and not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_ended_is_swept_by_the_next(
    number: signal.Signals, sleeper: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    one, made = sleeper
    assert scratch.swept(tmp_path) == 0 and (made / "file").exists(), "it lives"
    one.send_signal(number)
    one.wait(20)
    assert made.exists()
    with scratch.folder("mine", among=tmp_path) as mine:
        assert not made.parent.exists() and Path(mine).is_dir()
        assert scratch.swept(tmp_path) == 0 and Path(mine).is_dir()
    assert not Path(mine).exists() and os.listdir("/etc")


def test_a_child_that_is_ended_takes_nothing_of_its_parents(tmp_path: Path) -> None:
    with scratch.folder("mine", among=tmp_path) as mine:
        child = os.fork()
        if not child:
            scratch.end()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0 and Path(mine).is_dir()
        assert scratch.swept(tmp_path) == 0


def test_what_others_call_alike_stays(tmp_path: Path) -> None:
    (tmp_path / "ivx-tmp-mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x")
    (tmp_path / f"{scratch.PREFIX}abcdefgh").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{scratch.PREFIX}12345678").write_text("a file")
    assert scratch.swept(tmp_path) == 0 and len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_place_that_somebody_emptied_is_begun_again(tmp_path: Path) -> None:
    first = scratch.folder("one", among=tmp_path)
    Path(first.name).rmdir()
    Path(first.name).parent.rmdir()
    with scratch.folder("two", among=tmp_path) as second:
        assert Path(second).is_dir() and Path(second).parent != Path(first.name).parent


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_leaves_nothing_to_the_one_after_the_next(number: signal.Signals, tmp_path: Path) -> None:
    """A server that judged a stranger's checkpoint, and holds its tokenizer's process."""
    from tests.support.browser import free_port

    (tmp_path / "tmp").mkdir()
    script = (
        "import sys, threading, time\n"
        "from ivx import scratch\n"
        "held = [scratch.folder('confined')]\n"
        "print(held[0].name, flush=True)\n"
        "from ivx.ui.serve import serve\n"
        f"serve({free_port()})\n"
    )
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path / "tmp")}
    told["IVX_CACHE"] = str(tmp_path / "cache")
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=told
    )
    assert server.stdout is not None
    made = Path(server.stdout.readline().strip())
    for line in server.stdout:
        if "URL" in line:
            break
    time.sleep(1)
    assert made.is_dir()
    server.send_signal(number)
    assert server.wait(30) in (-number, 1)
    assert made.exists() == (number == signal.SIGKILL)
    if number == signal.SIGKILL:
        assert scratch.swept(tmp_path / "tmp") == 1
    assert not list((tmp_path / "tmp").glob("ivx-*"))
