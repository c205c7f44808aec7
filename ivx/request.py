"""The base of all requests, frozen: they hold every field that changes a number, and no other.

A request and the fingerprint of the checkpoint it meets hash to the run id, the one address of its result.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ivx.engine.address import SITES
from ivx.errors import IvxError
from ivx.numeral import index_of, spans
from ivx.stats.metrics import find
from ivx.tasks import catalogue
from ivx.tasks.spelling import AUTO, SUM
from ivx.tasks.turn import turn_of
from ivx.tasks.way import Way
from ivx.vocabulary import OTHERS, POSITION_WORDS, SOURCE_WORDS

if TYPE_CHECKING:
    from ivx.models.model import Model

WAY = ("target_format", "template", "system", "demonstrations", "spelling", "wording")
"""The fields of a request that mean a way of asking."""
ENGINE = "plan-2"
"""Name and version of the way rows are computed; part of every run id."""


@dataclass(frozen=True)
class BaseRequest(ABC):
    """The fields of every request; `kind` names the analysis.

    The text of each attribute, here and in the requests of all analyses, is also its help on the command line.

    Attributes:
        checkpoint: built-in name, hub id or directory; `checkpoint+adapter` with a LoRA adapter merged into it.
        seed: seed of everything that is drawn at random.
        dtype: `auto`, `float32`, `float64`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; several, as in `cuda:0,cuda:1`, share the samples.
        adapter: directory of a LoRA adapter that is merged at load.
        weights: how the weights are had: `auto`, `whole`, `compact` (in the dtype of their file) or `stream` (from
            disk); the numbers are equal.
    """

    kind: ClassVar[str] = ""
    since: ClassVar[tuple[str, ...]] = ()
    """Fields of this class that came later: at their default they are in no run id, so that earlier ids stay theirs."""
    early: ClassVar[tuple[str, ...]] = ()
    """Those of the classes above that this kind has had from its beginning: they are in every run id of it."""
    same: ClassVar[tuple[str, ...]] = ("weights",)
    """Fields that change no number: they are in no run id."""
    checkpoint: str
    _: KW_ONLY
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None
    weights: str = "auto"

    @property
    def loading(self) -> dict[str, Any]:
        """What is told to `ivx.load` besides the name."""
        return loading_of(self)

    @classmethod
    def later(cls) -> frozenset[str]:
        """The fields that came later, those of the classes above among them."""
        return frozenset(name for above in cls.__mro__ for name in vars(above).get("since", ())) - {*cls.early}

    @abstractmethod
    def about(self, collection: str) -> str:
        """Fingerprint of the tasks that are asked about, on a checkpoint of that collection."""

    @property
    def chats(self) -> bool:
        """Whether prompts are put into the checkpoint's chat template."""
        return False

    @property
    def preamble(self) -> str:
        """The system's turn in front of a prompt that is put into the chat template."""
        return ""

    def subject(self, collection: str, tokenizer: Callable[[], Any]) -> str:
        """What is asked about, as it enters the run id: the tasks, and what a chat template writes around a prompt.

        Args:
            tokenizer: returns the checkpoint's; called only where prompts are put into its template.
        """
        told = self.about(collection)
        return f"{told}-{turn_of(tokenizer(), system=self.preamble).fingerprint}" if self.chats else told

    def run_id(self, checkpoint: str, task: str, *, engine: str = ENGINE) -> str:
        """Hash of all that changes a number, 12 hexadecimal digits; checkpoint and task enter by their fingerprints."""
        asked = {**asdict(self), "kind": self.kind, "checkpoint": checkpoint, "task": task, "engine": engine}
        for name in ("tasks", *self.same):
            asked.pop(name, None)
        later = self.later()
        for field in fields(self):
            if field.name in later and asked[field.name] == field.default:
                del asked[field.name]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class InstructionRequest(BaseRequest):
    """The fields of a request about one instruction.

    Attributes:
        task: the instruction, such as `animal/colour`, or a user's file.
        against: the task whose answer is the contrast; by default the task's natural one.
        source_token: where the vector is taken from: `t_inst`, `keyword`, `before` (the keyword), `first`, or an index
            into the instruction's tokens.
        target_format: format of the target prompt: `prompt`, `query`, `filler` or `chat`.
        samples: how many queries are asked.
        template: a text with `{query}`, and `{instruction}`, `{demonstrations}`, `{field}` where they are wanted, that
            stands in place of the task's own; `{query}` alone is needed.
        system: the system's turn in front of a `chat` prompt.
        demonstrations: how many solved queries show the task in the source run, in place of an instruction; 0 for none.
        spelling: how the answer is written: `auto`, as the model prefers it, `space`, `plain`, `capital`, `lower`,
            `space-capital`, `space-lower`, `sum`, the sum of the probabilities of all of them, or `alone`,
            the token of the answer by itself.
        wording: number of the one wording that all samples are told by, 0 for the first; by default one is drawn for
            each.
    """

    since: ClassVar[tuple[str, ...]] = ("template", "system", "demonstrations", "spelling", "wording")
    source_words: ClassVar[tuple[str, ...]] = SOURCE_WORDS
    phrased: ClassVar[tuple[str, ...]] = ("keyword", "before", "all")
    """Source tokens that demonstrations do not have."""
    instructs: ClassVar[bool] = False
    """Whether an instruction is told beside demonstrations."""
    task: str
    _: KW_ONLY
    against: str | None = None
    source_token: str = "t_inst"
    target_format: str = "prompt"
    samples: int = 40
    template: str = ""
    system: str = ""
    demonstrations: int = 0
    spelling: str = AUTO
    wording: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, samples=(1, 10_000))
        check_place("source_token", self.source_token, self.source_words)
        if "unpaired" in getattr(self, "controls", ()) and not self.demonstrations:
            raise IvxError("the control unpaired shuffles the answers of demonstrations: ask for some, or leave it out")
        if self.wording is not None and self.demonstrations and not self.instructs:
            raise IvxError(
                f"there is no wording {self.wording} of demonstrations, which stand in its place: leave one of both out"
            )
        if self.way.demonstrations and self.source_token in self.phrased:
            raise IvxError(
                "demonstrations have no task phrase: take the state of their last token (t_inst), or name an index"
            )

    @property
    def way(self) -> Way:
        """How the queries are asked; raises `TaskError` for one that cannot be."""
        return Way(*(getattr(self, name) for name in WAY))

    @property
    def chats(self) -> bool:
        return self.target_format == "chat"

    @property
    def sums(self) -> bool:
        """Whether an answer's logit is the log of several tokens' summed exponentials."""
        return self.spelling == SUM

    def bends(self, metric: str) -> bool:
        """Whether a metric is not linear in logits: by itself, or because an answer is several tokens."""
        return self.sums or not find(metric).linear

    @property
    def preamble(self) -> str:
        return self.system

    def about(self, collection: str) -> str:
        pair = catalogue.find(self.task, collection=collection, against=self.against)
        others = sum(name in OTHERS for name in getattr(self, "controls", ()))
        return pair.fingerprint_with(others) if others else pair.fingerprint


@dataclass(frozen=True)
class Request(InstructionRequest):
    """The fields of a request that patches.

    Attributes:
        position: where the bare prompt is patched: `first`, `field` (the last token before the query), `query` (its
            first token), `mark` (the first token behind it), `cue` (the last token of the cue word), `last` or an
            index.
    """

    position_words: ClassVar[tuple[str, ...]] = POSITION_WORDS
    _: KW_ONLY
    position: str = "first"

    def __post_init__(self) -> None:
        check_place("position", self.position, self.position_words)
        super().__post_init__()


def loading_of(asked: BaseRequest | LiveRequest) -> dict[str, Any]:
    """How a request wants its checkpoint loaded, by `ivx.load`'s own words."""
    return {name: getattr(asked, name) for name in ("dtype", "device", "adapter", "weights")}


def check_counts(request: BaseRequest, **bounds: tuple[int, int]) -> None:
    """Refuse a request whose counts lie outside (least, most)."""
    for name, (least, most) in bounds.items():
        value = getattr(request, name)
        if not least <= value <= most:
            raise IvxError(f"{name} is {value}: choose {least} to {most:,}")


def check_spans(request: BaseRequest, *names: str) -> None:
    """Refuse fields that are neither empty nor a list of numbers."""
    for name in names:
        value = getattr(request, name)
        try:
            spans(value or "0")
        except ValueError:
            raise IvxError(f"{name} {value!r} is no list of numbers: write 4-17 or 0,3,8-11, or leave it out") from None


def check_word(name: str, value: str, words: tuple[str, ...]) -> None:
    """Refuse a value that is none of these words."""
    if value not in words:
        raise IvxError(f"{name} {value!r} is not known: use one of {', '.join(words)}")


def check_place(name: str, value: str, words: tuple[str, ...]) -> None:
    """Refuse a place that is neither one of these words nor an index."""
    if value not in words and index_of(value.removeprefix("-")) is None:
        raise IvxError(f"{name.replace('_', ' ')} {value!r} is not known: use {', '.join(words)} or an index")


def check_controls(controls: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse controls that are not known, or named twice."""
    unknown = [name for name in controls if name not in known]
    if unknown or len(set(controls)) < len(controls):
        raise IvxError(f"controls {', '.join(controls)}: name each once, of {', '.join(known)}")


def check_sites(sites: tuple[str, ...]) -> None:
    """Refuse sites that are not known, or an empty list."""
    unknown = [site for site in sites if site not in SITES]
    if unknown or not sites:
        raise IvxError(f"there is no site {', '.join(unknown) or 'named'}; the sites are {', '.join(SITES)}")


@dataclass(frozen=True)
class LiveRequest(ABC):
    """A question to a model that makes no run; equal ones are answered once while they are remembered.

    Attributes:
        checkpoint, dtype, device, adapter, weights: what is loaded, as for a run.
    """

    checkpoint: str
    _: KW_ONLY
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None
    weights: str = "auto"

    @property
    def loading(self) -> dict[str, Any]:
        """What is told to `ivx.load` besides the name."""
        return loading_of(self)

    @abstractmethod
    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> Any:
        """Answer the request on a loaded model.

        Args:
            store: the worker's, an `ivx.store.store.Store`; it lies above this module, which therefore names no type.
            beat: called now and then; what it raises ends the work.
        """
