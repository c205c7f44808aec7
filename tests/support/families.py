"""A family of embedded checkpoints that stands in for a real one."""

from __future__ import annotations

from ivx.analyses.family import Family

TOY = Family(("tiny-base", "tiny-sft"), "tiny-sft", ("animal/colour",), ("animal/colour",), put="first", exchanged=12)
