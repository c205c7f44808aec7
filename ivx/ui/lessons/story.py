"""A story: steps over the same runs, and what each step asks, reads and draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ivx.request import BaseRequest
from ivx.ui.lessons.guesses import Ask, Truth
from ivx.ui.lessons.scenes import Scene

READ_A_MAP = (
    "Rows are layers, columns the tokens of the bare prompt; only the first column is asked about. Orange moves the "
    "answer toward what was instructed, blue away from it. Hatched cells do no more than a control, such as "
    "another task’s vector; grey ones nothing."
)


@dataclass(frozen=True)
class Step:
    """One question of a story.

    `rule` finds its answer in the results that `needs` names; `chips` names the result whose prompts are shown, with
    the `other` task’s instruction where that is what is copied.

    `text` may hold <b>; `hints` are shown before the guess.
    """

    question: str
    text: str
    ask: Ask
    rule: Callable[[Mapping[str, Any]], Truth]
    scene: Scene
    needs: tuple[str, ...]
    hints: tuple[str, ...]
    chips: str
    other: bool = False


@dataclass(frozen=True)
class Story:
    """Steps over the same runs; `onward` gives the pages to go on to, by what they show.

    `further` gives the requests that follow from others' results; `absent` says how runs are had that are not here.
    """

    key: str
    name: str
    requests: Mapping[str, BaseRequest]
    steps: tuple[Step, ...]
    onward: Mapping[str, str]
    further: Callable[[], Mapping[str, BaseRequest]] = dict
    absent: str = ""

    def asked(self) -> dict[str, BaseRequest]:
        """All requests, by the names of their results."""
        return {**self.requests, **self.further()}


def link(page: str, **view: str) -> str:
    """The address of a page's view."""
    return f"/{page}?{urlencode(view)}"
