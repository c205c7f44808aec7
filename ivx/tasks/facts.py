"""The built-in facts: tables of queries and their answers, one file a domain, beside this module."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
DOMAINS = ("adjective", "animal", "verb", "noun", "country", "number")
"""The tiny world's tables: its checkpoints were trained on them, so they stay as they are."""


@cache
def facts(domain: str) -> dict[str, dict[str, str]]:
    """Answers by attribute, then query: `facts("animal")["colour"]["pig"] == "pink"`.

    A query has no answer where the table's cell is empty: there is none that is beyond doubt.
    """
    with (DATA / f"{domain}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    attributes = [name for name in rows[0] if name != "query"]
    return {name: {row["query"]: row[name] for row in rows if row[name]} for name in attributes}
