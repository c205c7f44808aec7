"""Tasks for real models: facts, inflections and letters, each asked in hundreds of natural wordings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache

from ivx.tasks.facts import facts
from ivx.tasks.prompt import ENGLISH
from ivx.tasks.task import Instruction, Task

ONE_WORD = "Answer with one word: {lower} {phrase}."
BRIEFLY = "Answer briefly: {lower} {phrase}."
"""What `ONE_WORD` says where some answer is more than a word, or less."""

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
    ONE_WORD,
    "Take the {domain} and {lower} {phrase}.",
    "In this exercise, {lower} {phrase}.",
    "Here is {article} {domain}: {lower} {phrase}.",
)
VERBS = ("Give", "State", "Write", "Name", "Provide")
WHETHER = {"Provide": "Say", "Give": "Tell me", "Name": "Decide"}
"""Verbs that can stand before `whether`, for those that cannot."""
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
    "animal/class": (
        "its animal group",
        "the main group of animals it belongs to",
        "the group of animals it is counted among",
        "the kind of animal it is",
        "the broad animal group it is part of",
    ),
    "country/capital": (
        "its capital",
        "its capital city",
        "the capital of the country",
        "the city that is its capital",
        "the capital city of the country",
    ),
    "country/language": (
        "its official language",
        "the official language of the country",
        "the language its laws are written in",
        "the language of its government",
        "the language used in its public offices",
    ),
    "country/continent": (
        "its continent",
        "the continent it lies in",
        "the continent of the country",
        "the continent where it is found",
        "the continent it is part of",
    ),
    "verb/past": (
        "its past tense",
        "its simple past form",
        "the past tense of the verb",
        "the preterite of the verb",
        "the form used for what happened yesterday",
    ),
    "verb/ing": (
        "its -ing form",
        "its present participle",
        "the present participle of the verb",
        "the form that ends in -ing",
        "the form that comes after I am",
    ),
    "noun/plural": (
        "its plural",
        "its plural form",
        "the plural of the noun",
        "the form for more than one",
        "the form that comes after the word many",
    ),
    "noun/category": (
        "its category",
        "the category it falls under",
        "the kind of thing it stands for",
        "the general group it belongs to",
        "the broader term for it",
    ),
    "number/word": (
        "it in words",
        "the number in words",
        "the number written out in words",
        "the English word for it",
        "the way it is spelled out in letters",
    ),
    "number/next": (
        "the next number in words",
        "the number after it, in words",
        "the word for the number that follows",
        "the number that is one more, in words",
        "the word for what comes next in counting",
    ),
    "number/is-even": (
        "whether it is even, yes or no",
        "yes if it is even and no if it is odd",
        "whether two divides it evenly, yes or no",
        "if it is an even number, with yes or no",
        "whether half of it is a whole number, yes or no",
    ),
    "word/capitalise": (
        "its capitalised form",
        "the word with a capital first letter",
        "the same word with its first letter in upper case",
        "the word as it would begin a sentence",
        "the word as it would begin a title",
    ),
    "word/upper": (
        "its upper-case form",
        "the word in capital letters",
        "the same word in upper case",
        "the word with every letter a capital",
        "the word spelled in capitals throughout",
    ),
    "word/first-letter": (
        "its first letter",
        "its initial letter",
        "the letter it begins with",
        "the first letter of the word",
        "the letter that the word starts with",
    ),
}
ARTICLES = {"adjective": "an", "animal": "an"}
"""Where it is not "a"."""
CONTRASTS = {
    # The first task of other queries is a task's control, and the first of each further field the next ones.
    "adjective/comparative": "adjective/antonym",
    "adjective/antonym": "adjective/comparative",
    "animal/colour": "animal/can-fly",
    "animal/can-fly": "animal/colour",
    "animal/class": "animal/colour",
    "country/capital": "country/language",
    "country/language": "country/capital",
    "country/continent": "country/capital",
    "verb/past": "verb/ing",
    "verb/ing": "verb/past",
    "noun/plural": "noun/category",
    "noun/category": "noun/plural",
    # Twenty-one and twenty-two begin with the same token: word and next word can be told apart in a quarter of them.
    "number/word": "number/is-even",
    "number/next": "number/is-even",
    "number/is-even": "number/word",
    "word/capitalise": "word/first-letter",
    "word/first-letter": "word/capitalise",
    "word/upper": "word/capitalise",
}
TABLES = {"country": "nation", "number": "figure"}
"""Where a field has other facts than the tiny world's: names in their case, numbers in figures."""
DOUBTFUL = {
    "verb/past": ("wake",),
    "noun/plural": ("banjo", "cactus", "mango", "scarf"),
    "noun/category": ("knife", "organ", "pepper", "tomato"),
}
"""Queries that have two right answers."""


def _wordings(name: str, answers: Mapping[str, str]) -> tuple[Instruction, ...]:
    domain = name.partition("/")[0]
    article = ARTICLES.get(domain, "a")
    several = not all(len(answer) > 1 and answer.isalpha() for answer in answers.values())
    found = []
    for frame in FRAMES:
        family = BRIEFLY if several and frame == ONE_WORD else frame
        for phrase in PHRASES[name]:
            asks = phrase.startswith(("whether", "if", "yes"))
            for verb in VERBS:
                said = WHETHER.get(verb, verb) if asks else verb
                text = family.format(
                    verb=said, lower=said[0].lower() + said[1:], phrase=phrase, domain=domain, article=article
                )
                start = text.rindex(phrase)
                found.append(Instruction(text, family=family, phrase=(start, start + len(phrase))))
    return tuple(sorted(found, key=lambda w: hashlib.sha256(w.text.encode()).digest()))


def _task(name: str, contrast: str) -> Task:
    domain, _, attribute = name.partition("/")
    every = facts(TABLES.get(domain, domain))[attribute]
    answers = {query: answer for query, answer in every.items() if query not in DOUBTFUL.get(name, ())}
    return Task(
        name=name,
        field=domain.capitalize(),
        instructions=_wordings(name, answers),
        answers=answers,
        contrast=contrast,
        collection="english",
        template=ENGLISH,
    )


@cache
def tasks() -> dict[str, Task]:
    """The English tasks by name."""
    return {name: _task(name, contrast) for name, contrast in CONTRASTS.items()}
