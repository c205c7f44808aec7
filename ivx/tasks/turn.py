"""A user's turn in a checkpoint's chat template, ready for the assistant's answer.

A template is a program that a checkpoint brings along. It is run on two texts, bounded in time and in what it writes,
and what it wrote around them is written around every other.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

from ivx.errors import TaskError, boundary

SECONDS = 5.0
"""Longest that a template may take."""
MOST = 100_000
"""Most characters that it may write around a text."""
TEXTS = ("Name it.", "The colour: 7 {{ braces }}?")
"""Turns that are written; a template that writes something else around one than around the other is refused."""
CURE = "leave the template out, as the target format prompt does"


class Turn(NamedTuple):
    """What a template writes before a user's text and after it."""

    before: str
    after: str

    def of(self, text: str) -> str:
        """The text as a user's turn."""
        return f"{self.before}{text}{self.after}"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: a template may write today's date, and then asks another thing every day."""
        return hashlib.sha256("\0".join(self).encode()).hexdigest()[:16]


def turn_of(tokenizer: Any, *, system: str = "") -> Turn:
    """What the tokenizer's chat template writes around a user's text, behind a system's turn where there is one.

    Raises:
        TaskError: there is no template, it takes too long, writes too much, fails, or does not write a text as it is.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise TaskError(f"this checkpoint's tokenizer has no chat template: {CURE}")
    found = {_written(tokenizer, text, system) for text in TEXTS}
    if len(found) > 1:
        raise TaskError(f"this checkpoint's chat template writes other things around other texts: {CURE}")
    return found.pop()


def _written(tokenizer: Any, text: str, system: str) -> Turn:
    turn = [{"role": "system", "content": system}] if system else []
    turn.append({"role": "user", "content": text})
    with boundary(TaskError, "this checkpoint's chat template cannot write a user's turn", CURE), _deadline(SECONDS):
        whole = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    if not isinstance(whole, str) or whole.count(text) != 1:
        raise TaskError(f"this checkpoint's chat template does not write a user's turn as it stands: {CURE}")
    if system and system not in whole:
        raise TaskError("this checkpoint's chat template writes no system's turn: leave the system turn out")
    if len(whole) > MOST + len(text):
        raise TaskError(f"this checkpoint's chat template writes more than {MOST:,} characters: {CURE}")
    return Turn(*whole.split(text))


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End what runs inside, in this thread, when its time is over: a template is Python, so each of its lines can."""
    end, before = time.monotonic() + seconds, sys.gettrace()

    def look(frame: FrameType, event: str, told: Any) -> Any:
        if time.monotonic() > end:
            raise TimeoutError(f"it took more than {seconds:g} seconds")
        return look

    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)
