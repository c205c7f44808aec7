"""A short form of tests/support/chaos.py."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support import chaos


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done = chaos.kills(6, tmp_path / "store", random.Random(1))
    assert done["kills"] == 6 and done["runs finished whole"]


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done = chaos.sweeps(2, tmp_path / "store", random.Random(1))
    assert done["kills"] == 2 and done["sweeps finished whole"]


@pytest.mark.slow
def test_no_damage_makes_a_wrong_row(tmp_path: Path) -> None:
    done = chaos.corruptions(40, tmp_path / "store", random.Random(1))
    assert done["found and said"] > 10 and done["runs that lost rows"]
