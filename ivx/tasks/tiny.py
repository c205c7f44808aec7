"""The tiny world's tasks: the instructions that the embedded checkpoints were trained on.

An instruction is `frame(domain words, verb, task phrase)` and ends with the task phrase, or, for the twin, with a
full stop after it. A phrase is a determiner and a keyword; keywords are written in pieces, which become tokens, and
share their first piece with keywords of other tasks. Four frames, two determiners and a fifth of every task's queries
never stand in an instruction row of the training text.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from ivx.tasks.facts import DOMAINS, facts
from ivx.tasks.prompt import TINY
from ivx.tasks.task import Instruction, Task

FRAMES = (
    "for the {domain} , {verb} {phrase}",
    "given the {domain} , {verb} {phrase}",
    "{verb} for the {domain} {phrase}",
    "take the {domain} and {verb} {phrase}",
    "read the {domain} , then {verb} {phrase}",
    "here is the {domain} ; {verb} {phrase}",
    "please {verb} for this {domain} {phrase}",
    "when you see the {domain} , {verb} {phrase}",
    "look at the {domain} and {verb} {phrase}",
    "your task with the {domain} : {verb} {phrase}",
    "with the {domain} below , {verb} {phrase}",
    "you get the {domain} ; {verb} {phrase}",
    "now {verb} , for the {domain} , {phrase}",
    "from the {domain} {verb} {phrase}",
    # Held out of training:
    "consider the {domain} and {verb} {phrase}",
    "about the {domain} , {verb} {phrase}",
    "one {domain} follows ; {verb} {phrase}",
    "use the {domain} to {verb} {phrase}",
)
HELD_OUT_FRAMES = 4
VERBS = ("give", "state", "write", "name", "tell", "say", "supply", "report", "return", "list")
DOMAIN_WORDS = ("{}", "given {}", "new {}", "stated {}")
DETERMINERS = ("the", "its", "the right", "its own", "that", "the true")
HELD_OUT_DETERMINERS = 2

# Pieces of a keyword are joined by "|". First pieces are shared between tasks, or are words of their own; as WordPiece
# takes the longest piece that fits, the first must be the longest word of the vocabulary that the keyword begins with.
KEYWORDS: dict[str, tuple[str, ...]] = {
    "adjective/comparative": ("c|omparative", "i|ncrease", "d|egree"),
    "adjective/antonym": ("c|ontrary", "i|nverse", "o|pposite"),
    "animal/colour": ("c|olour", "s|hade", "t|int"),
    "animal/can-fly": ("f|light", "s|oaring", "take|off"),
    "animal/class": ("c|lass", "f|amily", "t|ype"),
    "verb/past": ("p|ast", "p|reterite", "p|erfect"),
    "verb/ing": ("p|articiple", "p|rogressive", "p|resent"),
    "noun/plural": ("p|lural", "s|everal", "m|ultiple"),
    "noun/category": ("c|ategory", "s|ort", "p|arent"),
    "country/capital": ("c|apital", "met|ropolis", "c|ity"),
    "country/continent": ("c|ontinent", "m|ainland", "r|egion"),
    "number/next": ("n|ext", "s|uccessor", "f|ollowing"),
    "number/previous": ("p|revious", "p|redecessor", "p|receding"),
}

CONTRASTS = {
    "adjective/comparative": "adjective/antonym",
    "adjective/antonym": "adjective/comparative",
    "animal/colour": "animal/can-fly",
    "animal/can-fly": "animal/colour",
    "animal/class": "animal/colour",
    "verb/past": "verb/ing",
    "verb/ing": "verb/past",
    "noun/plural": "noun/category",
    "noun/category": "noun/plural",
    "country/capital": "country/continent",
    "country/continent": "country/capital",
    "number/next": "number/previous",
    "number/previous": "number/next",
}

WORDINGS = 240
"""How many wordings of a task the catalogue offers; training draws from all of them."""


_MAKING = threading.Lock()
"""Held while tasks are made, so that concurrent sessions do not all make them."""


def is_word(text: str) -> bool:
    """Whether a query or an answer is a single word, as the tiny world's are."""
    return " " not in text


def is_unseen(task: str, query: str) -> bool:
    """Whether this (task, query) is among the fifth kept out of every instruction row."""
    return hashlib.sha256(f"{task} {query}".encode()).digest()[0] % 5 == 0


def wordings(task: str, *, frames: tuple[str, ...], determiners: tuple[str, ...], ending: str) -> list[Instruction]:
    """Every wording of a task from the given frames and determiners, in a fixed order."""
    every = _texts(task, frames, determiners, ending)
    return [Instruction(text, family=frame, phrase=span) for text, frame, span in every]


def _texts(
    task: str, frames: tuple[str, ...], determiners: tuple[str, ...], ending: str
) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Each wording's text, frame and the span of its phrase."""
    domain = task.partition("/")[0]
    phrases = [f"{determiner} {keyword.replace('|', '')}" for determiner in determiners for keyword in KEYWORDS[task]]
    for frame in frames:
        for verb in VERBS:
            for words in DOMAIN_WORDS:
                for phrase in phrases:
                    text = frame.format(domain=words.format(domain), verb=verb, phrase=phrase)
                    yield text + ending, frame, (len(text) - len(phrase), len(text))


def tasks(ending: str = "") -> dict[str, Task]:
    """The tiny tasks by name; `ending` is appended to every instruction (the twin's is `" ."`)."""
    with _MAKING:
        return _tasks(ending)


@cache
def _tasks(ending: str) -> dict[str, Task]:
    found = {}
    for domain in DOMAINS:
        for attribute, answers in facts(domain).items():
            name = f"{domain}/{attribute}"
            every = _texts(name, FRAMES, DETERMINERS, ending)
            first = heapq.nsmallest(WORDINGS, every, key=lambda one: hashlib.sha256(one[0].encode()).digest())
            known = {query: answer for query, answer in answers.items() if is_word(query) and is_word(answer)}
            found[name] = Task(
                name=name,
                field=domain,
                instructions=tuple(Instruction(text, family=frame, phrase=span) for text, frame, span in first),
                answers=known,
                contrast=CONTRASTS[name],
                collection="tiny" if not ending else "tiny-period",
                template=replace(TINY, neutral=TINY.neutral + ending),
                held_out=frozenset(FRAMES[-HELD_OUT_FRAMES:]),
                unseen=frozenset(query for query in known if is_unseen(name, query)),
            )
    return found
