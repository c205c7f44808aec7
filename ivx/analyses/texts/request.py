"""Live requests whose answer is a text, or what a model reads in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from ivx.engine.address import Spot
from ivx.errors import IvxError
from ivx.request import Request
from ivx.runs.live import LiveRequest

if TYPE_CHECKING:
    from ivx.analyses.bench.result import Bench, BenchText
    from ivx.analyses.lens.result import Reading
    from ivx.analyses.texts.compute import Text
    from ivx.models.model import Model
    from ivx.store.store import Store

PLACES = ("first", "every")
"""Where a vector goes: the first token behind leading special ones, or every token, written ones too."""
WAYS = ("add", "patch")


@dataclass(frozen=True)
class TextRequest(LiveRequest):
    """What is written for some samples of a request, without and with one of its patch sets.

    Attributes:
        of: the effects, scan or interactions request.
        patch: an address of its table.
        samples: their numbers, from 0.
        role: whose states are put there.
        tokens: the most that are written.
    """

    of: Request
    patch: str
    samples: tuple[int, ...]
    _: KW_ONLY
    role: str = "effect"
    tokens: int = 12

    @classmethod
    def for_cell(cls, of: Request, patch: str, samples: tuple[int, ...], **more: str | int) -> TextRequest:
        """On the request's own checkpoint, loaded as it was."""
        return cls(
            of.checkpoint,
            of,
            patch,
            samples,
            dtype=of.dtype,
            device=of.device,
            adapter=of.adapter,
            **more,  # type: ignore[arg-type]
        )

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> tuple[Text, ...]:
        from ivx.analyses.texts.compute import texts

        return texts(
            model, self.of, patch=self.patch, samples=self.samples, role=self.role, tokens=self.tokens, beat=beat
        )


@dataclass(frozen=True)
class LensRequest(LiveRequest):
    """A free prompt read layer by layer, and what is written after it.

    Attributes:
        chat: whether the checkpoint's chat template goes around it.
        what: names the prompt in what is refused.
    """

    prompt: str
    _: KW_ONLY
    chat: bool = False
    what: str = "prompt"

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Reading:
        from ivx.analyses.lens.compute import read

        return read(model, self.prompt, chat=self.chat, what=self.what, beat=beat)


@dataclass(frozen=True)
class DropRequest(LiveRequest):
    """The target prompt with the source's state at `take` put at `put`."""

    source: str
    target: str
    take: Spot
    put: Spot
    _: KW_ONLY
    chat: bool = False

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Reading:
        from ivx.analyses.lens.compute import drop

        return drop(model, self.source, self.target, take=self.take, put=self.put, chat=self.chat, beat=beat)


@dataclass(frozen=True)
class BenchRequest(LiveRequest):
    """A task's mean vector tried at many strengths (`ivx.analyses.bench.compute`).

    Attributes:
        layer: where it is read and put.
        place: `first` token or `every` token.
        way: `add` or `patch`.
        texts: free prompts.
    """

    task: str
    layer: int
    _: KW_ONLY
    place: str = "first"
    way: str = "add"
    texts: tuple[str, ...] = ()
    samples: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        for name, words in (("place", PLACES), ("way", WAYS)):
            if getattr(self, name) not in words:
                raise IvxError(f"{name} is {getattr(self, name)!r}: use {' or '.join(words)}")

    def told(self) -> dict[str, Any]:
        """What the bench is asked with, beside model and task."""
        names = ("layer", "place", "way", "texts", "samples", "seed")
        return {name: getattr(self, name) for name in names}

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Bench:
        from ivx.analyses.bench.compute import bench

        return bench(model, self.task, **self.told(), beat=beat)


@dataclass(frozen=True)
class BenchTextRequest(LiveRequest):
    """What is written on the bench at one strength."""

    bench: BenchRequest
    strength: float

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> tuple[BenchText, ...]:
        from ivx.analyses.bench.compute import bench_texts

        return bench_texts(model, self.bench.task, strength=self.strength, **self.bench.told(), beat=beat)
