"""Models as transformers itself reads and makes them, beside nobody else who does.

While it reads a checkpoint it puts nothing in the place of its own functions that initialise and tie weights, for the
whole process. Two threads that read at once leave it so for good: what is made after that has random memory for weights
and an untied head. A job of an earlier test may still be reading in its own thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from ivx.models.library import ALONE


def read(place: Path | str, **how: Any) -> Any:
    """A checkpoint, from its directory."""
    with ALONE:
        return AutoModelForCausalLM.from_pretrained(place, **how)


def made(config: Any, **how: Any) -> Any:
    """A model of random weights."""
    with ALONE:
        return AutoModelForCausalLM.from_config(config, **how)
