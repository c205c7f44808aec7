"""The method's terms that a request may use, and the words for each on pages, in captions and in tables.

Controls, directions, and the tokens that states are taken from and put at: a new one is added here, and to
`ivx.patching.roles`, which makes its runs.
"""

from __future__ import annotations

from typing import NamedTuple

from ivx.tasks import telling


class Control(NamedTuple):
    """A control: what is put in the vector's place, to see whether anything would have done the same.

    Attributes:
        caption: its name under a printed figure.
        vector: its name in a sentence on a page, where states are put into the bare prompt.
        state: the same where the instructed run is disturbed.
        short: its name beside a bar.
        role: the role of its rows in a table.
    """

    caption: str
    vector: str
    state: str
    short: str
    role: str


CONTROL = {
    "task": Control(
        "another task's states",
        "another task’s vector",
        "the same in a run told another task",
        "other task",
        "control",
    ),
    "task2": Control(
        "a second other task's states",
        "a second task’s vector",
        "the same in a run told a second task",
        "other task 2",
        "control2",
    ),
    "task3": Control(
        "a third other task's states",
        "a third task’s vector",
        "the same in a run told a third task",
        "other task 3",
        "control3",
    ),
    "random": Control(
        "random vectors of equal norm",
        "a random vector of its norm",
        "a random vector of its norm",
        "random",
        "random",
    ),
    "neutral": Control(
        "those of a sentence that asks for nothing",
        "an idle sentence’s vector",
        "the same in a run told nothing",
        "idle words",
        "neutral",
    ),
    "shuffled": Control(
        "those of another sample",
        "another sample’s vector",
        "another sample’s state",
        "other sample",
        "shuffled",
    ),
    "identity": Control(
        "that of the token fed alone",
        "the token fed alone",
        "the token fed alone",
        "token alone",
        "identity",
    ),
    "aggregation": Control(
        "that of the task phrase's last word fed alone",
        "the last word fed alone",
        "the last word fed alone",
        "word alone",
        "aggregation",
    ),
    "counter": Control(
        "the contrast task's states",
        "the contrast task’s vector",
        "the same in a run told the contrast task",
        "contrast task",
        "counter",
    ),
    "unpaired": Control(
        "those of demonstrations whose answers are shuffled",
        "shuffled answers’ vector",
        "the same in a run shown shuffled answers",
        "shuffled answers",
        "unpaired",
    ),
}
CONTROLS = ("task", "random", "neutral", "shuffled")
"""Controls of effects and interactions that are run by default where they apply."""
OTHERS = telling.OTHERS
"""Further other tasks as controls: an effect must beat each, so that the strongest counts."""
SHOWN_CONTROLS = ("counter", "unpaired")
"""The contrast task, and demonstrations whose answers are shuffled, where the task is shown by demonstrations."""
SCAN_CONTROLS = ("task", "random", "identity", "aggregation")
"""Controls of a source scan."""


class Direction(NamedTuple):
    """A direction of patching: as a choice on a page, and as what each cell of a map does."""

    label: str
    caption: str


DIRECTION = {
    "denoise": Direction(
        "told states into the bare prompt", "writes a state of the instructed run into the bare prompt"
    ),
    "noise": Direction(
        "bare states into the told run", "replaces one state of the instructed run by the bare prompt's"
    ),
    "resample": Direction(
        "another sample’s into the told run",
        "replaces one state of the instructed run by that of another sample told the same",
    ),
    "zero": Direction("set to 0 in the told run", "sets one state of the instructed run to zero"),
    "mean": Direction(
        "set to its mean in the told run", "sets one state of the instructed run to its mean over samples"
    ),
}
DIRECTIONS = tuple(DIRECTION)


class Token(NamedTuple):
    """The words for a token: as a choice on a page, and in a caption."""

    label: str
    caption: str


SOURCE_TOKEN = {
    "t_inst": Token("T_inst", "the instruction's last token"),
    "keyword": Token("keyword", "the last token of the words that name the task"),
    "before": Token("before the keyword", "the token before the last of the words that name the task"),
    "first": Token("first token", "the instruction's first token"),
    "all": Token("each token", "each of the instruction's tokens"),
}
"""Where in the instruction a state is taken from."""
SOURCE_WORDS = tuple(name for name in SOURCE_TOKEN if name != "all")
"""Source tokens that are named by what they are."""
POSITION = {
    "all": Token("every token", "each position"),
    "first": Token("first token", "the first token"),
    "field": Token("last token before the query", "the last token before the query"),
    "query": Token("the query’s first token", "the query's first token"),
    "mark": Token("first token behind the query", "the first token behind the query"),
    "cue": Token("the cue word", "the last token of the cue word"),
    "last": Token("last token, where the answer follows", "the last token"),
}
"""Where in the target prompt a state is put."""
POSITION_WORDS = tuple(name for name in POSITION if name != "all")
"""Positions that are named by what they are."""


def source_token(name: str) -> Token:
    """A source token by its name or number."""
    return SOURCE_TOKEN.get(name, Token(f"token {name}", f"the instruction's token {name}"))


def position(name: str) -> Token:
    """A position by its name or number."""
    return POSITION.get(name, Token(f"token {name}", f"token {name}"))
