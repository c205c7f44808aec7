"""Runs that come with ivx tell nothing of the machine that made them."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ivx.jobs import shipped
from ivx.models.registry import REAL_RUNS, RUNS

FOLDER = re.compile(r"""(^|[\s'"(=+])(/|~/|[A-Za-z]:\\|\\\\)[\w.-]+[/\\]""")
"""A folder of some machine, in a text."""


def texts(told: Any) -> list[str]:
    if isinstance(told, dict):
        return [text for part in told.values() for text in texts(part)]
    if isinstance(told, list):
        return [text for part in told for text in texts(part)]
    return [told] if isinstance(told, str) else []


@pytest.mark.parametrize("place", ["/home/me/tiny-sft", "/tiny-sft", "C:\\models\\tiny-sft", "\\\\share\\tiny-sft"])
def test_a_checkpoint_s_folder_is_left_out_and_its_name_kept(place: str) -> None:
    told = {"asked": {"checkpoint": {"name": "tiny-sft", "source": place}}, "donors": [{"name": "b", "source": place}]}
    assert shipped.placeless(told) == {
        "asked": {"checkpoint": {"name": "tiny-sft", "source": "tiny-sft"}},
        "donors": [{"name": "b", "source": "b"}],
    }
    other = {"name": "a", "source": "org/name@main", "request": {"source": place}, "n": 3}
    assert shipped.placeless(other) == other


def test_no_shipped_run_names_a_folder() -> None:
    files = [path for folder in (RUNS, REAL_RUNS) for path in folder.glob("*.parquet")]
    assert files
    for path in files:
        told = json.loads(zlib.decompress(base64.b85decode(pq.read_schema(Path(path)).metadata[b"ivx"])))
        told.pop(shipped.TOKENS, None)
        assert not [text for text in texts(told) if FOLDER.search(text)], path
