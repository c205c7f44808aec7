"""All cases, by the file that they are in."""

from __future__ import annotations

from tests.hostile import adapters, documents, fields, packed, turns, weights, words
from tests.hostile.case import Case

FAMILIES = {
    "fields": fields.cases,
    "documents": documents.cases,
    "words": words.cases,
    "turns": turns.cases,
    "weights": weights.cases,
    "packed": packed.cases,
    "adapters": adapters.cases,
}
CASES: dict[str, Case] = {f"{family}: {case.what}": case for family, cases in FAMILIES.items() for case in cases()}
SLOW = {name for name, case in CASES.items() if "took" in case.sentence}
"""Those that a limit of time ends."""
