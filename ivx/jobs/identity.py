"""Identities of checkpoints that runs came with ivx of: what a run id takes of them, known without their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from ivx.errors import TaskError
from ivx.models import registry, wheels
from ivx.models.registry import IDENTITIES
from ivx.tasks.turn import Turn


class Identity(NamedTuple):
    """A checkpoint's fingerprint, what its chat template writes before and after a user's text, and its layers."""

    fingerprint: str
    before: str
    after: str
    layers: int

    @property
    def chat_template(self) -> str:
        """That there is one, as a tokenizer says it."""
        return "kept"

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        """A user's turn, as the checkpoint's tokenizer would write it; raises `TaskError` behind a system's turn."""
        *system, user = turns
        if system:
            raise TaskError("a system's turn is written by the checkpoint's own tokenizer: fetch the checkpoint first")
        return Turn(self.before, self.after).of(user["content"])


def kept(name: str) -> Identity | None:
    """The identity of a checkpoint whose weights are not on this machine; None where they are, or it is not known."""
    if registry.fetched(name) is None or wheels.is_here(name):
        return None
    return table().get(name)


def is_away(name: str) -> bool:
    """Whether a checkpoint is known, and its weights are not on this machine."""
    return kept(name) is not None


@cache
def table() -> Mapping[str, Identity]:
    """The identities that came with ivx, by name."""
    if not IDENTITIES.is_file():
        return {}
    told = json.loads(IDENTITIES.read_text(encoding="utf-8"))
    return {name: Identity(**one) for name, one in told.items()}


def write(found: Mapping[str, Identity]) -> None:
    """Write them where `table` finds them."""
    told = {name: one._asdict() for name, one in found.items()}
    IDENTITIES.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    table.cache_clear()
