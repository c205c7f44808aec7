"""A stored run of behaviour says how to ask: for its checkpoint and task, the newest one, and none that is not ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ivx.analyses.behaviour.result import Behaviour
from ivx.jobs.recommendation import recommended
from ivx.models.load import load
from ivx.store.store import Store
from ivx.tasks.way import Way
from tests.support.recommending import asked_by, keep, with_verdicts

SFT, TASK = "tiny-sft", "animal/colour"


@pytest.fixture(scope="module")
def found() -> Behaviour:
    return asked_by(load(SFT), TASK)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "shown", "best"),
    [
        (12, 12, "prompt"),
        (9, 10, "prompt"),  # more, but within noise
        (5, 12, "demonstrations"),
        (12, 5, "prompt"),
        (0, 8, "demonstrations"),  # the default is not followed at all
        (1, 1, None),
    ],
)
def test_the_default_stands_unless_another_way_follows_more_beyond_chance(
    found: Behaviour, prompt: int, shown: int, best: str | None
) -> None:
    assert with_verdicts(found, prompt=prompt, demonstrations=shown).recommended(TASK) == best


def test_what_a_run_recommends_is_found_again_for_its_checkpoint_and_task_alone(found: Behaviour, store: Store) -> None:
    assert recommended(store, SFT, TASK) is None
    keep(store, with_verdicts(found, prompt=2, demonstrations=12))
    told = recommended(store, SFT, TASK)
    assert told is not None and told.way == Way(demonstrations=8) and told.run == found.run_id
    again = recommended(Store(store.root), f"{SFT}", f"tiny:{TASK}")
    assert again == told, "another process, and another name of the task"
    assert recommended(store, "tiny-dpo", TASK) is None and recommended(store, SFT, "animal/can-fly") is None
    assert recommended(store, SFT, "no/such") is None and recommended(store, "/no/such", TASK) is None
    store.delete(found.run_id)
    assert recommended(store, SFT, TASK) is None


def test_a_lost_index_and_a_newer_run(found: Behaviour, store: Store) -> None:
    keep(store, with_verdicts(found, prompt=2, demonstrations=12))
    first = recommended(store, SFT, TASK)
    shutil.rmtree(store.root / "index")
    assert recommended(Store(store.root), SFT, TASK) == first
    newer = replace(found, receipt={**found.receipt, "run": "0123456789ab"})
    keep(store, with_verdicts(newer, prompt=12, demonstrations=12))
    told = recommended(store, SFT, TASK)
    assert told is not None and told.way == Way() and told.run == "0123456789ab"


def test_an_imported_run_an_unfinished_one_and_one_without_the_default_recommend_nothing(
    found: Behaviour, store: Store
) -> None:
    good = with_verdicts(found, prompt=2, demonstrations=12)
    keep(store, good, imported=True)
    assert recommended(store, SFT, TASK) is None
    other = Store(store.root / "other")
    run = other.begin(good.run_id, asked={"kind": "behaviour", "request": asdict(good.request), "checkpoint": {}})
    run.append(good.table)
    assert recommended(other, SFT, TASK) is None
    keep(other, good)  # and now it is complete
    assert recommended(other, SFT, TASK) is not None
    third = Store(store.root / "third")
    keep(third, replace(good, request=replace(good.request, ways=("demonstrations",))))
    assert recommended(third, SFT, TASK) is None


def test_looking_it_up_loads_neither_torch_nor_a_tokenizer(found: Behaviour, store: Store) -> None:
    keep(store, with_verdicts(found, prompt=2, demonstrations=12))
    code = (
        "import sys\nfrom pathlib import Path\nfrom ivx.jobs.recommendation import recommended\n"
        "from ivx.store.store import Store\n"
        f"print(recommended(Store(Path({str(store.root)!r})), {SFT!r}, {TASK!r}).way.demonstrations)\n"
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'sklearn') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:2] == ["8", "[]"], told.stderr
