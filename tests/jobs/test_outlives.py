"""The worker outlives its jobs: whatever ends a thread, or freezes it, ends one job, and the next one is served."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from ivx.analyses.effects.request import EffectsRequest
from ivx.errors import IvxError
from ivx.jobs import worker as workers
from ivx.jobs.job import Job
from ivx.jobs.service import SETTING
from ivx.jobs.worker import Worker
from ivx.models.alone import Alone
from ivx.models.library import ALONE
from ivx.models.registry import EMBEDDED
from ivx.request import LiveRequest
from ivx.store.run import Run
from ivx.store.store import Store
from tests.support.browser import ROOT

SMALL = EffectsRequest("tiny-sft", "animal/colour", samples=2, sites=("z",))
_WAYS: dict[str, Callable[[], Any]] = {}
RELEASED = threading.Event()
"""Set at a test's end: what is frozen then returns."""


@dataclass(frozen=True)
class Ending(LiveRequest):
    """Ends the thread that answers it, in a way that is known by its name."""

    way: str

    def answered(self, model: Any, store: Any, *, beat: Callable[[], None]) -> Any:
        return _WAYS[self.way]()


def way(make: Callable[[], Any]) -> Callable[[], Any]:
    _WAYS[make.__name__] = make
    return make


@way
def panic() -> None:
    """A real one, of Rust: the stride is as long as what is left."""
    told = Tokenizer.from_file(str(EMBEDDED / "tiny-sft" / "tokenizer.json"))
    told.enable_truncation(4, stride=4)
    told.encode("here is the new animal give its own colour")


@way
def leave() -> None:
    sys.exit("bye")


@way
def interrupt() -> None:
    raise KeyboardInterrupt


@way
def close() -> None:
    raise GeneratorExit


@way
def exhaust() -> Any:
    """More than there is: both allocators say so."""
    return bytearray(1 << 62)


@way
def allocate() -> Any:
    return torch.empty(1 << 55)


@way
def nest() -> Any:
    def deeper(n: int) -> int:
        return deeper(n + 1) + 1

    return deeper(0)


@way
def mute() -> None:
    """An error whose own words fail, so that ending the job with it does."""

    class Mute(BaseException):
        def __str__(self) -> str:
            raise SystemExit("no words")

        __repr__ = __str__

    raise Mute


def kill(thread: int | None) -> None:
    """Raise `SystemExit` in another thread, wherever it is."""
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), ctypes.py_object(SystemExit)) == 1


@way
def shoot() -> None:
    """The thread is ended from outside, as often as it catches that: at last behind its own handlers."""
    target = threading.get_ident()
    threading.Timer(0.05, kill, [target]).start()
    while True:
        time.sleep(0.01)


@way
def freeze() -> None:
    """A call that does not return; it holds the library, too."""
    with ALONE:
        RELEASED.wait(60)


@way
def spin() -> None:
    """A loop that does not end, and gives no sign."""
    while not RELEASED.is_set():
        sum(range(1000))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(workers, "WATCH_SECONDS", 0.1)
    monkeypatch.setenv(SETTING, "2")
    monkeypatch.setattr("ivx.jobs.service.SLOW", 30.0)  # a busy machine loads slowly
    RELEASED.clear()
    yield Worker(Store(tmp_path))
    RELEASED.set()


def served(worker: Worker, request: Any = SMALL) -> None:
    job = worker.submit(request, session="next")
    assert job.wait(120) and job.view().state == "done", job.view()


def failed(job: Job, words: str, *, state: str = "failed") -> None:
    assert job.wait(120), job.view()
    now = job.view()
    assert now.state == state and words in now.message and "\n" not in now.message, now


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("panic", "PanicException"),
        ("leave", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("close", "GeneratorExit"),
        ("exhaust", "memory ran out"),
        ("allocate", "memory ran out"),
        ("nest", "nested deeper"),
        ("mute", "Mute"),
        ("shoot", "SystemExit"),
        ("freeze", "abandoned: no sign of life for "),
    ],
)
def test_whatever_ends_a_thread_ends_one_job_and_the_next_is_served(worker: Worker, name: str, words: str) -> None:
    served(worker)
    other = worker.submit(replace(SMALL, seed=1), session="other")
    failed(worker.submit(Ending("tiny-sft", name), session="a"), words)
    served(worker, replace(SMALL, seed=2))
    assert other.wait(60) and other.view().state == "done", "nobody else is harmed"
    assert (worker._server.device.model is None) is False


def test_a_loop_without_end_is_left_to_itself(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    served(worker)
    monkeypatch.setattr("ivx.jobs.service.SLOW", 2.0)
    failed(worker.submit(Ending("tiny-sft", "spin"), session="a"), "abandoned: no sign of life for ")
    monkeypatch.setattr("ivx.jobs.service.SLOW", 30.0)
    served(worker, replace(SMALL, seed=1))


def test_memory_that_ran_out_is_given_back_with_the_model(worker: Worker) -> None:
    served(worker)
    job = worker.submit(Ending("tiny-sft", "exhaust"), session="a")
    failed(job, "memory ran out")
    until = time.monotonic() + 20
    while worker._server.device.model is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert worker._server.device.model is None
    served(worker, replace(SMALL, seed=1))


@pytest.mark.parametrize("which", ["_server", "_reader"])
def test_a_thread_that_is_gone_is_noticed_and_another_serves(
    worker: Worker, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two jobs, and so that no handler of its own sees it."""
    served(worker)
    old = getattr(worker, which)
    monkeypatch.setattr(workers, "_end", lambda *_: sys.exit("not even this"))
    until = time.monotonic() + 60
    jobs: list[Job] = []
    while not old.is_dead and time.monotonic() < until:
        kill(old.thread.ident)
        jobs.append(worker.submit(Ending("tiny-sft", "leave"), session=f"s{len(jobs)}"))
        time.sleep(0.2)
    assert old.is_dead
    monkeypatch.undo()
    served(worker, replace(SMALL, seed=1))
    assert getattr(worker, which) is not old
    assert all(job.wait(30) and job.view().state == "failed" for job in jobs)


def test_what_the_reader_meets_ends_its_job_alone(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    met = (("panic", "PanicException"), ("leave", "SystemExit"), ("exhaust", "memory ran out"))
    for seed, (name, words) in enumerate(met):
        with monkeypatch.context() as patch:
            patch.setattr(workers, "stored", lambda *_, name=name: _WAYS[name]())
            failed(worker.submit(replace(SMALL, seed=seed), session="a"), words)
        served(worker, replace(SMALL, seed=seed))


def test_an_error_while_rows_are_shown_or_stored_ends_the_job_and_keeps_its_rows(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, progress = Run.append, Job.progress
    large = replace(SMALL, samples=40)

    def full(self: Run, table: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def gone(self: Job, result: Any, done: int, total: int) -> None:
        progress(self, result, done, total)
        if done:
            panic()

    monkeypatch.setattr(Run, "append", full)
    failed(worker.submit(large, session="a"), "the disk has no room")
    monkeypatch.setattr(Run, "append", append)
    monkeypatch.setattr(Job, "progress", gone)
    failed(worker.submit(large, session="a"), "PanicException")
    monkeypatch.setattr(Job, "progress", progress)
    job = worker.submit(large, session="a")
    assert job.wait(60) and job.view().result.receipt is not None
    run = worker.store.find(job.view().result.run_id)
    assert run is not None and run.receipt is not None and run.receipt["resumed_rows"] > 0


def test_who_was_given_up_and_comes_back_stores_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    served(worker)
    appended: list[str] = []
    append, progress = Run.append, Job.progress
    back = threading.Event()

    def noted(self: Run, table: Any) -> None:
        appended.append(threading.current_thread().name + str(threading.get_ident()))
        append(self, table)

    def frozen(self: Job, result: Any, done: int, total: int) -> None:
        if done and self.request == late:
            RELEASED.wait(60)
            back.set()
        progress(self, result, done, total)

    late = replace(SMALL, samples=60)
    monkeypatch.setattr(Run, "append", noted)
    monkeypatch.setattr(Job, "progress", frozen)
    old = worker._server
    job = worker.submit(late, session="a")
    failed(job, "abandoned: no sign of life for ")
    assert "frozen" in job.view().trace, "where it is frozen is told"
    served(worker, replace(SMALL, seed=5))
    again = worker.submit(late, session="a")
    failed(again, "has not returned", state="refused")
    seconds, rows = job.seconds, len([one for one in appended if one.endswith(str(old.thread.ident))])
    RELEASED.set()
    assert back.wait(20)
    old.thread.join(30)
    assert old.is_dead and job.view().state == "failed" and job.seconds == seconds
    assert len([one for one in appended if one.endswith(str(old.thread.ident))]) == rows
    monkeypatch.setattr(Job, "progress", progress)
    served(worker, late)


def test_a_limit_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("soon", "0", "inf", "nan", "-5"):
        monkeypatch.setenv(SETTING, wrong)
        with pytest.raises(IvxError, match=f"{SETTING} is '{wrong}'"):
            Worker(Store(tmp_path))


def test_a_lock_is_taken_from_who_never_lets_go_of_it() -> None:
    lock, held, free = Alone(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock, lock:
            held.set()
            free.wait(30)
            with lock:  # back again, it waits for whoever has it now
                pass

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert held.wait(10)
    entered = threading.Event()

    def come() -> None:
        with lock:
            entered.set()

    waiter = threading.Thread(target=come)
    waiter.start()
    lock.forsake(threading.get_ident())
    assert not entered.wait(0.7), "from nobody else"
    lock.forsake(holder.ident)
    assert entered.wait(10)
    with lock:
        free.set()
        holder.join(0.5)
        assert holder.is_alive()
    holder.join(10)
    assert not holder.is_alive()


def test_a_process_that_is_killed_leaves_its_request_to_the_next_one(tmp_path: Path) -> None:
    large = replace(SMALL, samples=60, sites=("z", "resid_post"))
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from ivx.analyses.effects.request import EffectsRequest\n"
            "from ivx.jobs.worker import Worker\n"
            "from ivx.store.store import Store\n"
            f"job = Worker(Store(Path({str(tmp_path)!r}))).submit({large!r})\n"
            "while not job.view().done: time.sleep(0.005)\n"
            "print('at work', flush=True)\n"
            "time.sleep(60)\n",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdout.readline() == b"at work\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    served(Worker(Store(tmp_path)), large)
