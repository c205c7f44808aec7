"""What stands in a report: its parts with their results, the checks, and what they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ivx.analyses.base import Result
from ivx.report.parts import Part
from ivx.version import VERSION


@dataclass(frozen=True)
class Section:
    """One part of an inspection.

    Attributes:
        found: its result; None where there is none.
        origin: `stored` or `computed`.
        refused: why there is no result, in a sentence; empty where there is one.
        seconds: that it took now.
    """

    part: Part
    found: Result[Any] | None
    origin: str
    refused: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Contents:
    """What is known of a checkpoint.

    Attributes:
        task: that all parts but behaviour and probes are about.
        sections: in the order of `PARTS`.
        checks: of the doctor, as a receipt holds them; `proved_now` says whether they were made for this report.
        fingerprint: of its weights.
        quick: whether what was not stored was computed on few samples.
    """

    checkpoint: str
    task: str
    sections: tuple[Section, ...]
    checks: tuple[dict[str, Any], ...]
    proved_now: bool
    fingerprint: str
    quick: bool
    seconds: float

    @property
    def results(self) -> dict[str, Result[Any]]:
        """The results that there are, by the name of their part."""
        return {one.part.name: one.found for one in self.sections if one.found is not None}


def made_by() -> str:
    """What made a report."""
    return f"ivx {VERSION}"
