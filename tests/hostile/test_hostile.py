"""Every harmed checkpoint meets one sentence with its cure, or loads and is what it was; and nobody else is harmed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ivx.models import judge
from tests.hostile import bases
from tests.hostile.every import CASES, SLOW

SECONDS = 20.0
"""Longest that one may take, from being opened to its sentence."""
SILENT = 1.0
"""Longest that the process may not answer anybody else, in seconds."""
BEGINS = 700_000_000
"""Bytes that a confined process has before it reads anything."""
GROWS = 700_000_000
"""Bytes by which the process that opens them all may grow."""
QUICK = [name for k, name in enumerate(sorted(set(CASES) - SLOW)) if k % 6 == 0]
"""Those of the normal suite: a share of every family."""
REST = [name for name in CASES if name not in QUICK]


def opened(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What became of each, by its name; of none harmed, under no name."""
    for place in ("bases", "work"):
        (folder / place).mkdir()
    bases.made(folder / "bases")
    told = {**os.environ, "IVX_CACHE": str(folder / "cache"), "TOKENIZERS_PARALLELISM": "false"}
    told.pop("IVX_ROOTS", None)
    found = subprocess.run(
        [sys.executable, "-m", "tests.hostile.opened", str(folder / "bases"), str(folder / "work")],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        env={**told, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    rows = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == len(names) + 1, f"the process did not outlive {names[len(rows) - 1]!r}: {found.stderr[-2000:]}"
    return {row["case"]: row for row in rows}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """A share of the cases, opened in one process."""
    yield opened(tmp_path_factory.mktemp("quick"), QUICK)


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """The others."""
    yield opened(tmp_path_factory.mktemp("rest"), REST)


def test_there_are_many_and_each_is_said_once() -> None:
    assert len(CASES) >= 300 and set(CASES) > SLOW
    assert all(case.why for case in CASES.values())


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_checkpoint_is_a_sentence(name: str, quick: dict[str, dict[str, Any]]) -> None:
    judged(name, quick)


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_every_other_hostile_checkpoint_is_a_sentence(name: str, rest: dict[str, dict[str, Any]]) -> None:
    judged(name, rest)


def test_what_was_not_harmed_loads(quick: dict[str, dict[str, Any]]) -> None:
    whole = quick[""]
    assert "refused" not in whole and "traceback" not in whole, whole
    assert {f"{which} logits" for which in ("base", "adapter", "packed.gguf")} < whole.keys()
    assert whole["base logits"] != whole["adapter logits"]


def test_the_process_that_opens_them_does_not_grow(quick: dict[str, dict[str, Any]]) -> None:
    assert max(row["own"] for row in quick.values()) - quick[""]["own"] < GROWS


def judged(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Hold what became of a case against what its table says."""
    case, row, whole = CASES[name], found[name], found[""]
    assert "traceback" not in row, row["traceback"]
    assert row["seconds"] < SECONDS and row["gap"] < SILENT
    assert row["child"] < BEGINS + judge.MEMORY
    assert not row["outside"], "files were read that are none of its own"
    if case.sentence:
        assert "refused" in row, "it was believed"
        assert re.search(case.sentence, row["refused"]), row["refused"]
        assert "\n" not in row["refused"] and len(row["refused"]) < 1_000
        assert re.search(r"[:;] .|, .*(use|give|load)", row["refused"]), "a sentence names a cure"
        return
    assert "refused" not in row, row["refused"]
    if not case.other:
        assert row["logits"] == whole[f"{case.opened} logits"]
    if case.turn:
        assert re.search(case.turn, row.get("turned away", "")), row
    else:
        assert "turned away" not in row, row["turned away"]
