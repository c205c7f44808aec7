"""The request of behaviour: what a model writes when it is told, and untold, in several ways of asking."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from ivx.errors import IvxError, TaskError
from ivx.request import BaseRequest, check_counts, check_word
from ivx.tasks import catalogue
from ivx.tasks.spelling import AUTO
from ivx.tasks.turn import turn_of
from ivx.tasks.way import MOST_SHOWN, Way

OWN, SHOWN = "template", "demonstrations"
"""Ways that ask by the user's own template, and by solved queries in the instruction's place."""
WAYS = ("prompt", "query", "filler", "chat", SHOWN, OWN)
DEFAULT = "prompt"
"""The way in which every page asks unless another is named, or follows more."""
SHORT = ("query", "filler")
"""Ways whose told prompt is that of `prompt`: untold they lack its cue, too, so that they are held against it."""
MOST_TOKENS = 64


@dataclass(frozen=True)
class BehaviourRequest(BaseRequest):
    """What a model writes when it is told to do something, and untold, by task and way of asking.

    Attributes:
        tasks: tasks to ask: names, `all`, or users' files, each of which holds both tasks of a pair.
        ways: ways of asking: `prompt`, `query`, `filler`, `chat`, `demonstrations` and, where a template is given,
            `template`. Told, the first three are one prompt; untold `query` and `filler` lack its cue, too, so that
            they come with `prompt` and are followed only where that is.
        template: a text with `{query}`, and `{instruction}` or `{demonstrations}`, and `{field}` where they are wanted,
            as a further way of asking.
        system: the system's turn in front of a `chat` prompt.
        demonstrations: how many solved queries show the task in the way `demonstrations`.
        spelling: how the answer is written: `auto`, as the model prefers it in each way, `space`, `plain`, `capital`,
            `lower`, `space-capital`, `space-lower`, `sum`, the sum of the probabilities of all of them, or `alone`,
            the token of the answer by itself.
        wording: number of the one wording that all samples are told by, 0 for the first; by default one is drawn for
            each.
        samples: how many queries of each task are asked.
        tokens: how many tokens are written after each prompt.
    """

    since: ClassVar[tuple[str, ...]] = ("wording",)

    kind: ClassVar[str] = "behaviour"
    tasks: tuple[str, ...] = ("all",)
    _: KW_ONLY
    ways: tuple[str, ...] = ("prompt", "query", "filler", "chat", SHOWN)
    template: str = ""
    system: str = ""
    demonstrations: int = 8
    spelling: str = AUTO
    wording: int | None = None
    samples: int = 40
    tokens: int = 20

    def __post_init__(self) -> None:
        if not self.tasks:
            raise IvxError("no task is named: use all, or names of tasks")
        if not self.ways:
            raise IvxError(f"no way of asking is named: use some of {', '.join(WAYS)}")
        for way in self.ways:
            check_word("way", way, WAYS)
        if OWN in self.ways and not self.template:
            raise IvxError("the way template asks by a template of your own: give one, or leave this way out")
        if self.system and "chat" not in self.ways:
            raise IvxError("a system turn belongs to a chat template: ask by chat, too, or leave it out")
        check_counts(self, demonstrations=(1, MOST_SHOWN), samples=(1, 10_000), tokens=(1, MOST_TOKENS))
        for way in self.every:
            self.way(way)

    @property
    def every(self) -> tuple[str, ...]:
        """The ways that are asked, in their order; a template is one of them, whether or not it is named."""
        named = {*self.ways, *([OWN] if self.template else []), *(["prompt"] if set(SHORT) & set(self.ways) else [])}
        return tuple(way for way in WAYS if way in named)

    def way(self, name: str) -> Way:
        """A way of asking by its name."""
        if name == SHOWN:
            return Way(demonstrations=self.demonstrations, spelling=self.spelling)
        if name == OWN:
            # A template that has a place for demonstrations, and none for an instruction, wants them.
            shown = "{demonstrations}" in self.template and "{instruction}" not in self.template
            count = self.demonstrations if shown else 0
            return Way(template=self.template, demonstrations=count, spelling=self.spelling, wording=self.wording)
        return Way(name, system=self.system if name == "chat" else "", spelling=self.spelling, wording=self.wording)

    def about(self, collection: str) -> str:
        pairs = catalogue.pairs(self.tasks, collection=collection)
        return hashlib.sha256(" ".join(pair.fingerprint for pair in pairs).encode()).hexdigest()[:16]

    def subject(self, collection: str, tokenizer: Callable[[], Any]) -> str:
        told = self.about(collection)
        if "chat" not in self.ways:
            return told
        try:
            return f"{told}-{turn_of(tokenizer(), system=self.system).fingerprint}"
        except TaskError:  # this way is then refused, the others are not
            return told
