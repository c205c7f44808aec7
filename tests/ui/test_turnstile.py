"""The turnstile: never more inside than it lets in, first come first served, nobody forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ivx.ui.turnstile import LOOK_SECONDS, Turnstile


def begun(task: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=task, daemon=True)
    thread.start()
    return thread


def test_so_many_are_inside_and_all_come_through() -> None:
    turnstile, inside, most, lock = Turnstile(3), [0], [0], threading.Lock()

    def draw() -> None:
        with turnstile.passed():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            with lock:
                inside[0] -= 1

    for thread in [begun(draw) for _ in range(60)]:
        thread.join(30)
        assert not thread.is_alive()
    assert most == [3] and inside == [0]


def test_who_came_first_goes_first() -> None:
    turnstile, order = Turnstile(1), []
    waits = [threading.Event() for _ in range(5)]

    def draw(number: int) -> None:
        with turnstile.passed(waits[number].set):
            order.append(number)

    with turnstile.passed():
        threads = []
        for number, waiting in enumerate(waits):
            threads.append(begun(lambda number=number: draw(number)))  # type: ignore[misc]
            assert waiting.wait(10)
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_who_is_gone_is_not_waited_for() -> None:
    """A session that ended while it stood in line, and a page that raised: both leave their place to the next."""
    turnstile = Turnstile(1)

    def gone() -> None:
        raise LookupError

    with turnstile.passed(), pytest.raises(LookupError), turnstile.passed(gone):
        pass
    with pytest.raises(ZeroDivisionError), turnstile.passed():
        1 / 0  # noqa: B018
    began = time.monotonic()
    with turnstile.passed():
        assert time.monotonic() - began < LOOK_SECONDS


def test_pages_that_hang_hold_up_nobody_for_good() -> None:
    turnstile = Turnstile(1, long=0.3)
    with turnstile.passed():
        with turnstile.passed():
            pass
        with turnstile.passed():
            pass
    began = time.monotonic()
    with turnstile.passed():
        assert time.monotonic() - began < LOOK_SECONDS, "who came in for one that hung leaves room, too"
