"""Prompt templates: how instruction, query and answer cue become text."""

from __future__ import annotations

from dataclasses import dataclass

from ivx.errors import TaskError

FORMATS = ("prompt", "query", "filler", "chat")
"""Target formats: what the uninstructed run is given."""


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

    def target(self, *, field: str, query: str, form: str) -> str:
        """The uninstructed text; with `chat` that of `prompt`, to be put into the checkpoint's own chat template."""
        if form not in FORMATS:
            raise TaskError(f"there is no target format {form!r}: use one of {', '.join(FORMATS)}")
        pattern = self.prompt if form == "chat" else getattr(self, form)
        # Plain replacement: a query is data and may itself hold braces.
        return pattern.replace("{field}", field).replace("{query}", query)

    def instructed(self, instruction: str, *, field: str, query: str) -> str:
        """The instructed text: instruction, then the prompt."""
        return instruction + self.joint + self.target(field=field, query=query, form="prompt")


TINY = Template(prompt="{field} : {query} . answer :", neutral="here is your task")
ENGLISH = Template(prompt="{field}: {query}. Answer:", neutral="Here is your task.")
