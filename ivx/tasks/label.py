"""A token as it stands on an axis or a chip: the one place that draws spaces, line breaks and bytes.

A vocabulary of bytes (GPT-2's) writes every byte as a letter of its own, so that `Ġ` is a space and `Ċ` a line break;
one of words marks a space by `▁`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

MARKS = {" ": "␣", "▁": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}
"""What stands for characters that do not show."""


def label_of(piece: object) -> str:
    """A vocabulary's entry as text, with its spaces and line breaks drawn: `Ġword` is `␣word`, `Ċ` is `⏎`.

    A piece that is part of a character stays as the vocabulary writes it.
    """
    text = str(piece)
    letters = _bytes()
    if all(letter in letters for letter in text):
        with suppress(UnicodeDecodeError):
            text = bytes(letters[letter] for letter in text).decode()
    return "".join(MARKS.get(letter, letter) for letter in text) or "␣"


@cache
def _bytes() -> dict[str, int]:
    """The byte behind each letter of GPT-2's alphabet: those that print stand for themselves, the rest follow 255."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + k): byte for k, byte in enumerate(others)}
