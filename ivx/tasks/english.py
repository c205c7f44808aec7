"""Tasks for real models: adjectives and animals, each asked in hundreds of natural wordings."""

from __future__ import annotations

import hashlib
from functools import cache

from ivx.tasks.facts import facts
from ivx.tasks.prompt import ENGLISH
from ivx.tasks.task import Instruction, Task

# Sentences around the request for a phrase; each frame is a paraphrase family.
FRAMES = (
    "{verb} {phrase}.",
    "Please {lower} {phrase}.",
    "Given {article} {domain}, {lower} {phrase}.",
    "For the {domain} below, {lower} {phrase}.",
    "You will see {article} {domain}. {verb} {phrase}.",
    "Read the {domain} and {lower} {phrase}.",
    "Your task is to {lower} {phrase}.",
    "Look at the {domain} that follows and {lower} {phrase}.",
    "When you are shown {article} {domain}, {lower} {phrase}.",
    "Consider the {domain} and {lower} {phrase}.",
    "I will name {article} {domain}; {lower} {phrase}.",
    "Answer with one word: {lower} {phrase}.",
    "Take the {domain} and {lower} {phrase}.",
    "In this exercise, {lower} {phrase}.",
    "Here is {article} {domain}: {lower} {phrase}.",
)
VERBS = ("Give", "State", "Write", "Name", "Provide")
PHRASES = {
    "adjective/comparative": (
        "its comparative",
        "its comparative form",
        "the comparative of the word",
        "the form that means more so",
        "the comparative degree",
    ),
    "adjective/antonym": (
        "its antonym",
        "its opposite",
        "a word of opposite meaning",
        "the adjective that means the reverse",
        "the word with the contrary meaning",
    ),
    "animal/colour": (
        "its colour",
        "its typical colour",
        "the colour it usually has",
        "the main colour of its body",
        "the colour people link with it",
    ),
    "animal/can-fly": (
        "whether it can fly, yes or no",
        "yes if it flies and no if it does not",
        "whether it is able to fly",
        "if it can fly or not, with yes or no",
        "whether it takes to the air, yes or no",
    ),
}
ARTICLES = {"adjective": "an", "animal": "an"}
CONTRASTS = {
    "adjective/comparative": "adjective/antonym",
    "adjective/antonym": "adjective/comparative",
    "animal/colour": "animal/can-fly",
    "animal/can-fly": "animal/colour",
}


def _wordings(name: str) -> tuple[Instruction, ...]:
    domain = name.partition("/")[0]
    found = []
    for frame in FRAMES:
        for verb in VERBS:
            for phrase in PHRASES[name]:
                if verb in ("Provide", "Give", "Name") and phrase.startswith(("whether", "if", "yes")):
                    verb = {"Provide": "Say", "Give": "Tell me", "Name": "Decide"}[verb]
                text = frame.format(
                    verb=verb, lower=verb[0].lower() + verb[1:], phrase=phrase, domain=domain, article=ARTICLES[domain]
                )
                start = text.rindex(phrase)
                found.append(Instruction(text, family=frame, phrase=(start, start + len(phrase))))
    distinct = {wording.text: wording for wording in found}
    return tuple(sorted(distinct.values(), key=lambda w: hashlib.sha256(w.text.encode()).digest()))


@cache
def tasks() -> dict[str, Task]:
    """The English tasks by name."""
    return {
        name: Task(
            name=name,
            field=name.partition("/")[0].capitalize(),
            instructions=_wordings(name),
            answers=facts(name.partition("/")[0])[name.partition("/")[2]],
            contrast=contrast,
            collection="english",
            template=ENGLISH,
        )
        for name, contrast in CONTRASTS.items()
    }
