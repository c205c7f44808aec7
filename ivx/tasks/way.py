"""Ways of asking: what stands around a query, and in which spelling the answer is expected."""

from __future__ import annotations

from dataclasses import dataclass

from ivx.errors import TaskError
from ivx.tasks.prompt import FORMATS, Rendering, Template, completed, rendered
from ivx.tasks.spelling import ALONE, AUTO, SPELLINGS, SUM

MOST_SHOWN = 64
"""Most demonstrations."""
MAX_TEMPLATE = 4_000
"""Most characters of a template or a system's turn."""


@dataclass(frozen=True)
class Way:
    """A way of asking.

    Attributes:
        form: the target format: `prompt`, `query`, `filler` or `chat`.
        template: a text with `{query}`, and where they are wanted `{instruction}`, `{demonstrations}` and `{field}`, in
            place of the task's own; empty for that one.
        system: the system's turn before a user's, in a chat template; empty for none.
        demonstrations: how many solved queries stand in the instruction's place; 0 for an instruction.
        spelling: `auto`, one of `ivx.tasks.spelling.SPELLINGS`, `sum` for all of them, or `alone`.
        wording: number of the one wording of an instruction for all queries; None where each has one of its own.
    """

    form: str = "prompt"
    template: str = ""
    system: str = ""
    demonstrations: int = 0
    spelling: str = AUTO
    wording: int | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise TaskError(f"there is no target format {self.form!r}: use one of {', '.join(FORMATS)}")
        if self.spelling not in (known := (AUTO, *SPELLINGS, SUM, ALONE)):
            raise TaskError(f"there is no spelling {self.spelling!r}: use one of {', '.join(known)}")
        if not 0 <= self.demonstrations <= MOST_SHOWN:
            raise TaskError(f"demonstrations is {self.demonstrations}: choose 0 to {MOST_SHOWN}")
        if self.wording is not None and self.wording < 0:
            raise TaskError(f"there is no wording {self.wording}: the first is number 0")
        for name, text in (("template", self.template), ("system turn", self.system)):
            if len(text) > MAX_TEMPLATE:
                raise TaskError(f"the {name} has more than {MAX_TEMPLATE:,} characters: shorten it")
        if self.system and not self.chats:
            raise TaskError("a system turn belongs to a chat template: use the target format chat, or leave it out")
        if self.template:
            if self.form in ("query", "filler"):
                raise TaskError(f"a template of one's own stands in the place of {self.form}: use the format prompt")
            completed(self.template)

    @property
    def chats(self) -> bool:
        """Whether prompts are put into the checkpoint's chat template."""
        return self.form == "chat"

    def bare(self, template: Template, *, field: str, query: str) -> Rendering:
        """The prompt that nothing is told in."""
        pattern = completed(self.template) if self.template else template.pattern(self.form)
        return rendered(pattern, {"field": field, "query": query})

    def told(self, template: Template, *, field: str, query: str, instruction: str = "", shown: str = "") -> Rendering:
        """The prompt with an instruction, with demonstrations, or with both."""
        parts = {"field": field, "query": query, "instruction": instruction, "demonstrations": shown}
        return rendered(self._whole(template), parts)

    def lead(self, template: Template, *, field: str, query: str) -> str:
        """What stands before a demonstration's answer: what stands behind the demonstrations in a whole prompt."""
        behind = self._whole(template).rpartition("{demonstrations}")[2].lstrip()
        return rendered(behind, {"field": field, "query": query}).text

    def _whole(self, template: Template) -> str:
        return completed(self.template) if self.template else template.pattern()
