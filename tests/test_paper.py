"""The table of the paper's experiments: what it says is had can be asked by its command, and opened at its address."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from ivx.cli import arguments, atlas, compare, exchange
from ivx.stats.metrics import METRICS
from ivx.tasks import catalogue
from ivx.ui import frame

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| experiment")
]
KEPT = ("metric", "worded", "spelling", "format", "plane", "layers", "begin", "active")
"""Parts of an address that its page must keep."""
ADDRESSES = sorted({row[1].strip("`") for row in ROWS if row[1] != "–"})


def test_a_line_is_had_by_page_and_command_or_says_why_not() -> None:
    assert len(ROWS) > 25
    for experiment, page, command, had in ROWS:
        assert had.startswith(("yes", "no")), experiment
        if had.startswith("yes"):
            assert page.startswith("`/") and command.startswith("`python -m ivx "), experiment
        else:
            assert had.startswith("no: ") or had == "no", experiment


def test_every_command_is_one_and_what_it_asks_can_be_asked() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for part in (arguments, compare, exchange, atlas):
        part.add(commands)
    for _, _, command, _ in ROWS:
        if command == "–":
            continue
        asked = parser.parse_args(shlex.split(command.strip("`"))[3:])
        if hasattr(asked, "analysis"):
            assert arguments.request_of(asked.analysis.request, asked)
        assert getattr(asked, "metric", "contrast") in METRICS


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_names_a_page_and_what_there_is(address: str) -> None:
    parts = urlsplit(address)
    assert any(parts.path.strip("/") in held for held in frame.MENUS.values())
    for key, value in parse_qsl(parts.query):
        if key in ("task", "atlas_tasks"):
            assert all(task in catalogue.tasks("tiny") for task in value.split(",")), value
        if key == "metric":
            assert value in METRICS


@pytest.mark.slow
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_opens_and_keeps_what_it_names(address: str) -> None:
    parts = urlsplit(address)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180)
    for key, value in parse_qsl(parts.query):
        page.query_params[key] = value
    page.switch_page(f"ivx/ui/pages/{parts.path.strip('/')}.py").run()
    assert not page.exception
    kept = {key: one if isinstance(one, str) else one[0] for key, one in page.query_params.items()}
    asked = {key: value for key, value in parse_qsl(parts.query) if key in KEPT}
    usual = {"metric": "contrast"}
    assert all(kept.get(key, usual.get(key)) == value for key, value in asked.items()), (asked, kept)
    assert not re.search("cannot be (shown|measured)", " ".join(str(one.value) for one in page.markdown))
