"""The request of the patch lens: a prompt read layer by layer, as it is or with a state of another one."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.engine.address import Spot
from ivx.errors import IvxError
from ivx.request import BaseRequest
from ivx.tasks import catalogue

_SPOT = re.compile(r"(\d{1,4})@(-?\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class LensRequest(BaseRequest):
    """A free prompt read layer by layer, and continued; with a source, one of the source's states is put there.

    Attributes:
        prompt: the text that is read.
        source: another text, a state of which is put into the prompt; by default none is.
        take: place in the source that the state is taken from, as `layer@token`; the token may be negative.
        put: place in the prompt that the state is put at, as `layer@token`.
        chat: put each text into the checkpoint's chat template, as a user's turn.
        task: the task that the texts ask, if they ask one: whether it is followed is counted and said first.
    """

    kind: ClassVar[str] = "lens"
    since: ClassVar[tuple[str, ...]] = ("task",)
    prompt: str
    _: KW_ONLY
    source: str | None = None
    take: str = ""
    put: str = ""
    chat: bool = False
    task: str = ""

    @property
    def chats(self) -> bool:
        return self.chat

    def __post_init__(self) -> None:
        if (self.source is None) != (not self.take and not self.put):
            raise IvxError("source, take and put go together: name all three, or none to read the prompt as it is")
        if self.source is not None:
            _ = self.spots

    @property
    def spots(self) -> tuple[Spot, Spot]:
        """The places to take the state from and put it at; raises `IvxError` where a text names none."""
        return _spot("take", self.take), _spot("put", self.put)

    def about(self, collection: str) -> str:
        return f"free text {catalogue.find(self.task, collection=collection).fingerprint}" if self.task else "free text"


def _spot(name: str, text: str) -> Spot:
    found = _SPOT.fullmatch(text)
    if found is None:
        raise IvxError(f"{name} {text!r} is no place: write layer@token, such as 3@-1")
    return Spot(int(found[1]), int(found[2]))


def place_of(spot: Spot) -> str:
    """A place as a request names it."""
    return f"{spot.layer}@{spot.position}"
