"""The encoder: texts as one tokenizer's tokens, and which tokens hold which characters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ivx.errors import TaskError
from ivx.tasks.spelling import ALONE, AUTO, spelled, usual
from ivx.tasks.turn import Turn, turn_of


class Encoder:
    """Encodes texts with one tokenizer: knows its leading special tokens, and which tokens hold which characters.

    With `whole`, texts hold their special tokens, as what a chat template wrote does, and none are put in front.
    `system` is the system's turn in that template.
    """

    def __init__(self, tokenizer: Any, *, whole: bool = False, system: str = "") -> None:
        if tokenizer is None or not getattr(tokenizer, "is_fast", False):
            raise TaskError("tasks need the checkpoint's fast tokenizer (tokenizer.json), which tells where tokens lie")
        self.tokenizer = tokenizer
        self.whole = whole
        self.system = system
        self._known: dict[str, tuple[tuple[int, ...], list[tuple[int, int]]]] = {}

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of a text, with the special tokens that the tokenizer puts in front, without those behind."""
        return self._encoded(text)[0]

    def _encoded(self, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        # A sample asks for its prompts' tokens, spans and answers: each text is tokenized once.
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        how = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        found = self.tokenizer(text, add_special_tokens=not self.whole, **how)
        ids, offsets, special = found["input_ids"], found["offset_mapping"], found["special_tokens_mask"]
        end = len(ids)
        while end > 1 and special[end - 1] and not self.whole:
            end -= 1
        return tuple(ids[:end]), [tuple(o) for o in offsets[:end]]

    def span(self, text: str, start: int, end: int) -> tuple[int, int]:
        """The tokens, end exclusive, that hold the characters `start:end` of `text`."""
        _, offsets = self._encoded(text)
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        if not inside:
            raise TaskError(f"no token of {text!r} holds {text[start:end]!r}: choose another word")
        return inside[0], inside[-1] + 1

    @cached_property
    def leading(self) -> int:
        """How many special tokens stand in front of every prompt; of a template's, those that the tokenizer itself puts
        in front of a text."""
        told = self.tokenizer("a", return_special_tokens_mask=True)
        count = next((i for i, mask in enumerate(told["special_tokens_mask"]) if not mask), 0)
        if not self.whole:
            return count
        written = self.ids(self.chat("a"))
        alike = (a == b for a, b in zip(told["input_ids"][:count], written, strict=False))
        return next((i for i, same in enumerate(alike) if not same), min(count, len(written)))

    def following(self, prompt: str, answer: str, *, spelling: str = AUTO) -> tuple[int, ...]:
        """The tokens of `answer` as the model would emit them after `prompt`.

        Args:
            spelling: one of `ivx.tasks.spelling.SPELLINGS`; `auto` is the usual one, mostly with a space in front;
                `alone`, the answer with nothing in front of it, whatever the prompt.

        Raises:
            TaskError: the first of them is not the answer's alone: it merges with the prompt, or is blank.
        """
        if spelling == ALONE:
            return tuple(self.tokenizer(answer, add_special_tokens=False)["input_ids"])
        spelling = usual(prompt) if spelling == AUTO else spelling
        before, after = self.ids(prompt), self.ids(prompt + spelled(answer, spelling))
        shared = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        if shared < len(before) or len(after) == len(before):
            raise TaskError(f"the answer {answer!r} merges with the prompt's last token in this tokenizer")
        found = after[len(before) :]
        if not self.tokenizer.decode([found[0]]).strip():
            raise TaskError(f"the first token of the answer {answer!r} is blank in this tokenizer")
        return found

    def first(self, prompt: str, answer: str, *, spelling: str) -> int | None:
        """The first token of an answer in this spelling; None where it has none of its own, or an unknown one."""
        try:
            token = self.following(prompt, answer, spelling=spelling)[0]
        except TaskError:
            return None
        return None if self.unknown([token]) else token

    def firsts(self, prompt: str, answer: str, *, spellings: Sequence[str]) -> tuple[int, ...]:
        """The distinct first tokens of an answer in these spellings, the usual one's first."""
        ordered = sorted(spellings, key=lambda name: name != usual(prompt))
        found = (self.first(prompt, answer, spelling=name) for name in ordered)
        return tuple(dict.fromkeys(token for token in found if token is not None))

    def free(self, text: str, *, chat: bool, what: str, most: int) -> tuple[int, ...]:
        """Ids of a free text as a prompt; with `chat`, as a user's turn.

        Raises:
            TaskError: the text is empty or has more than `most` tokens; `what` names it in the message.
        """
        if not text.strip():
            raise TaskError(f"the {what} is empty: write at least one word")
        # A template writes the special tokens itself.
        whole = self.tokenizer(self.chat(text), add_special_tokens=False)["input_ids"] if chat else self.ids(text)
        if len(whole) > most:
            raise TaskError(f"the {what} has {len(whole)} tokens, and at most {most} are shown: shorten it")
        return tuple(whole)

    def unknown(self, ids: Sequence[int]) -> int:
        """How many of the tokens are the tokenizer's token for unknown words."""
        return sum(i == self.tokenizer.unk_token_id for i in ids)

    def chat(self, text: str) -> str:
        """The text as a user's turn in the checkpoint's chat template, ready for the assistant's answer."""
        return self.turn.of(text)

    @cached_property
    def turn(self) -> Turn:
        """What the chat template writes around a user's text; raises `TaskError`."""
        return turn_of(self.tokenizer, system=self.system)
