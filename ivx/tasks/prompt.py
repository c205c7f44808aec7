"""Prompts: how instruction, demonstrations, query and answer cue become text, and where each comes to lie in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ivx.errors import TaskError

FORMATS = ("prompt", "query", "filler", "chat")
"""Target formats: what the uninstructed run is given."""
PARTS = ("instruction", "demonstrations", "field", "query")
"""What a pattern can hold in braces."""
_PART = re.compile(rf"\{{({'|'.join(PARTS)})\}}(\s*)")
_WORD = re.compile(r"[^\W_]+")

Span = tuple[int, int]
"""Characters, the end exclusive."""


class Rendering(NamedTuple):
    """A prompt's text, and where each of its parts lies, for the parts that it has.

    `cue` is the last word behind the query.
    """

    text: str
    spans: Mapping[str, Span]

    def within(self, before: str, after: str) -> Rendering:
        """The same with a text in front and one behind."""
        moved = {name: (start + len(before), end + len(before)) for name, (start, end) in self.spans.items()}
        return Rendering(f"{before}{self.text}{after}", moved)


def rendered(pattern: str, parts: Mapping[str, str]) -> Rendering:
    """A pattern with its parts put in; one that is empty or not there takes the blanks behind it along.

    Parts are data: braces in them stay as they are.
    """
    text, spans, at = "", {}, 0
    for found in _PART.finditer(pattern):
        text += pattern[at : found.start()]
        name, gap = found.groups()
        if value := parts.get(name, ""):
            spans[name] = (len(text), len(text) + len(value))
            text += value + gap
        at = found.end()
    # At the end of a pattern there are no blanks behind a part, and those in front of it go.
    ends = at == len(pattern) and at > 0 and not value
    text = text.rstrip() if ends else text + pattern[at:]
    words = list(_WORD.finditer(text, spans["query"][1])) if "query" in spans else []
    return Rendering(text, spans | {"cue": words[-1].span()} if words else spans)


def completed(pattern: str) -> str:
    """A user's pattern with the parts that it does not name put where they usually stand: in front.

    Raises:
        TaskError: there is no query in it, or a part stands twice.
    """
    for name in PARTS:
        if pattern.count(f"{{{name}}}") > 1:
            raise TaskError(f"the template holds {{{name}}} twice: keep one of them")
    if "{query}" not in pattern:
        raise TaskError("the template holds no {query}: write where the query stands")
    for name, gap in (("demonstrations", "\n"), ("instruction", " ")):
        if f"{{{name}}}" not in pattern:
            pattern = f"{{{name}}}{gap}{pattern}"
    return pattern


@dataclass(frozen=True)
class Template:
    """The texts of a collection; `{field}` and `{query}` are replaced, `joint` stands between instruction and prompt.

    `prompt` is the default target, `query` the bare word, `filler` a neutral token and the word. `neutral` is a
    sentence that asks for nothing, in the form of an instruction.
    """

    prompt: str
    neutral: str
    joint: str = " "
    query: str = "{query}"
    filler: str = ". {query}"

    def pattern(self, form: str = "prompt") -> str:
        """The pattern of a format, with places for an instruction and for demonstrations in front.

        That of `chat` is put into the checkpoint's own chat template.
        """
        if form not in FORMATS:
            raise TaskError(f"there is no target format {form!r}: use one of {', '.join(FORMATS)}")
        own = self.prompt if form == "chat" else getattr(self, form)
        return f"{{instruction}}{self.joint}{{demonstrations}}\n{own}"

    def target(self, *, field: str, query: str, form: str) -> str:
        """The uninstructed text; with `chat` that of `prompt`, to be put into the checkpoint's own chat template."""
        return rendered(self.pattern(form), {"field": field, "query": query}).text

    def instructed(self, instruction: str, *, field: str, query: str) -> str:
        """The instructed text: instruction, then the prompt."""
        return rendered(self.pattern(), {"instruction": instruction, "field": field, "query": query}).text


TINY = Template(prompt="{field} : {query} . answer :", neutral="here is your task")
ENGLISH = Template(prompt="{field}: {query}. Answer:", neutral="Here is your task.")
