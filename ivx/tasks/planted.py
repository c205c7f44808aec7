"""The planted world's tasks: what the checkpoints whose circuits are set by hand are asked.

Each instruction names its task by a keyword and ends with one and the same word, so that T_inst holds no more of the
task than was moved there.
"""

from __future__ import annotations

from functools import cache

from ivx.tasks.prompt import Template
from ivx.tasks.task import Instruction, Task

PROMPT = Template(prompt="{field} : {query} . answer =", neutral="here is your task now")
END = "now"
"""The last word of every instruction."""
VERBS = ("name", "tell", "give", "say")
FRAMES = (
    "{verb} its {keyword}",
    "please {verb} the {keyword}",
    "{verb} the {keyword} of it",
    "do {verb} its {keyword}",
)
KEYWORDS = {
    "thing/colour": ("colour", "hue"),
    "thing/shape": ("shape", "form"),
    "thing/size": ("size", "bulk"),
    "thing/weight": ("weight", "mass"),
    "place/climate": ("climate", "weather"),
    "place/side": ("side", "edge"),
}
CONTRASTS = {
    "thing/colour": "thing/shape",
    "thing/shape": "thing/colour",
    "thing/size": "thing/weight",
    "thing/weight": "thing/size",
    "place/climate": "place/side",
    "place/side": "place/climate",
}
OPTIONS = {
    "thing/colour": ("red", "blue"),
    "thing/shape": ("round", "flat"),
    "thing/size": ("tiny", "huge"),
    "thing/weight": ("light", "heavy"),
    "place/climate": ("hot", "cold"),
    "place/side": ("north", "south"),
}
_THINGS = "ball coin drum flag kite lamp mask nail pipe ring rope sail tent vase wheel yarn"
_PLACES = "cove dale fell glen isle moor peak reef"
QUERIES = {"thing": tuple(_THINGS.split()), "place": tuple(_PLACES.split())}


def is_second(task: str, query: str) -> bool:
    """Which of a task's two answers a query has: of its number's bits, each task reads another."""
    field = task.partition("/")[0]
    bit = [name for name in KEYWORDS if name.startswith(f"{field}/")].index(task)
    return bool(QUERIES[field].index(query) >> bit & 1)


def answer_of(task: str, query: str) -> str:
    """The answer to a query."""
    return OPTIONS[task][is_second(task, query)]


@cache
def tasks() -> dict[str, Task]:
    """The planted tasks by name."""
    return {
        name: Task(
            name=name,
            field=name.partition("/")[0],
            instructions=tuple(_wordings(name)),
            answers={query: answer_of(name, query) for query in QUERIES[name.partition("/")[0]]},
            contrast=CONTRASTS[name],
            collection="planted",
            template=PROMPT,
        )
        for name in KEYWORDS
    }


def _wordings(task: str) -> list[Instruction]:
    found = []
    for frame in FRAMES:
        for verb in VERBS:
            for keyword in KEYWORDS[task]:
                text = f"{frame.format(verb=verb, keyword=keyword)} {END}"
                start = text.index(keyword)
                found.append(Instruction(text, family=frame, phrase=(start, start + len(keyword))))
    return found
