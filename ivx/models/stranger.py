"""A stranger's tokenizer: it stays in a confined process, whatever text it is given, and so does its chat template.

A judgement sees some texts. A regular expression that never ends, a normaliser that makes a gigabyte of a letter or a
template that loops need only wait for another one; so each answer has its bounds, and it is that process which ends.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ivx.confined.original import Copy
from ivx.errors import CheckpointError, Ended, Failed
from ivx.models import judge

SECONDS = 5.0
"""Longest that one text may take; a text of a prompt's length takes a millisecond."""
OPENING = 8.0
"""Longest that one may take to be read, in seconds: it was judged in the like."""
MOST = 8
"""Processes that are held at once; the one that was asked longest ago ends first, and begins again when it is asked."""
LONGEST = 200_000
"""Most characters of a text."""
ELSE = "use another text, or another checkpoint"


class Tokenizer:
    """A tokenizer as transformers has it, so far as ivx asks it: of texts, ids, words and turns.

    Attributes:
        is_fast: whether it tells where tokens lie.
        chat_template: its template; None where there is none.
    """

    def __init__(self, place: Path, *, name: str) -> None:
        self._place, self._name = place.absolute(), name
        self._seen = judge.stamp(place)
        told = self._ask("facts")
        self._length = int(told.pop("length"))
        self.is_fast: bool
        self.chat_template: str | None
        vars(self).update(told)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a tokenizer that did not come with ivx stays in a process of its own, and has no {name} here: where you "
            "trust it, read it with transformers.AutoTokenizer"
        )

    def __call__(self, text: Any, *, return_tensors: str | None = None, **how: Any) -> Any:
        """As transformers': a mapping of `input_ids` and what else was asked for."""
        from transformers import BatchEncoding

        found, alone = self._words("encode", text=text, how=how), isinstance(text, str)
        return BatchEncoding(found, tensor_type=return_tensors, prepend_batch_axis=alone and return_tensors is not None)

    def encode(self, text: str, **how: Any) -> list[int]:
        """The ids of a text."""
        return list(self._words("encode", text=text, how=how)["input_ids"])

    def decode(self, ids: Any, **how: Any) -> str:
        """The text of ids."""
        return str(self._words("decode", ids=_plain(ids), how=how))

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The vocabulary's word of an id, or those of several."""
        return self._words("tokens", ids=_plain(ids))

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a word of the vocabulary, or those of several."""
        return self._words("ids", tokens=tokens)

    def get_vocab(self) -> dict[str, int]:
        """The ids of all words."""
        return dict(self._words("vocabulary"))

    def __len__(self) -> int:
        return self._length

    def apply_chat_template(self, turns: Sequence[dict[str, str]], **how: Any) -> Any:
        """What the template writes; raises `Unanswered` where it takes too much, or fails."""
        return self._ask("turn_of", turns=list(turns), how=how)

    def _words(self, what: str, **given: Any) -> Any:
        """An answer about tokens; that there is none becomes one sentence."""
        text = given.get("text")
        size = sum(map(len, text)) if isinstance(text, list | tuple) else len(text) if isinstance(text, str) else 0
        if size > LONGEST:
            raise CheckpointError(f"a text of {size:,} characters is too long, {LONGEST:,} are read: shorten it")
        about = f"{self._name}: the tokenizer in {self._place}"
        try:
            return self._ask(what, **given)
        except Ended as error:
            told = f"a text of {size:,} characters" if size else "some tokens"
            raise CheckpointError(f"{about} {error} for {told}: {ELSE}") from error
        except Failed as error:
            raise CheckpointError(f"{about} failed ({error}): {ELSE}") from error

    def _ask(self, what: str, *, seconds: float = SECONDS, **given: Any) -> Any:
        return _HELD.ask(self._place, self._name, self._seen, what, seconds=seconds, given=given)


def _plain(ids: Any) -> Any:
    """Ids as JSON has them: of a tensor, or of one number or several."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    return int(ids) if isinstance(ids, int) else [int(one) for one in ids]


class _Held:
    """The processes that hold a tokenizer, by its files; one that is let go ends when its last answer is given."""

    def __init__(self) -> None:
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, place: Path, name: str, seen: list[Any], what: str, *, seconds: float, given: dict[str, Any]) -> Any:
        """An answer of the process that holds these files' tokenizer, begun where there is none."""
        key = repr((str(place), seen))
        with self._lock:
            copy = self._copies.get(key)
            if copy is None:
                copy = self._copies[key] = self._begun(place, name, seen)
            self._copies.move_to_end(key)
            while len(self._copies) > MOST:
                self._copies.popitem(last=False)
        try:
            return copy.ask(what, seconds=seconds, **given)
        except Ended:
            with self._lock:
                if self._copies.get(key) is copy:
                    del self._copies[key]
            raise

    def _begun(self, place: Path, name: str, seen: list[Any]) -> Copy:
        if judge.stamp(place) != seen:
            raise CheckpointError(f"{name}: the files in {place} have changed since it was opened: open it again")
        copy = judge.copy_for(place, seconds=SECONDS)
        with judge.telling(f"{name}: the tokenizer in {place}"):
            copy.ask("open", seconds=OPENING, place=str(place), name=name)
        return copy


_HELD = _Held()
