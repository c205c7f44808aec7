"""A stored search says where an instruction acts: for its checkpoint, task and way of asking, the newest one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ivx
from ivx.analyses.place.result import Place
from ivx.jobs.places import placed
from ivx.models.load import load
from ivx.store.store import Store
from ivx.tasks.way import Way
from tests.support.recommending import keep

TWIN, TASK = "tiny-sft-period", "animal/colour"


@pytest.fixture(scope="module")
def found() -> Place:
    return ivx.place(load(TWIN), TASK, readers="none")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_a_search_found_is_found_again_for_its_checkpoint_task_and_way_alone(found: Place, store: Store) -> None:
    assert placed(store, TWIN, TASK, Way()) is None
    keep(store, found)
    told = placed(store, TWIN, TASK, Way())
    assert told is not None and told.run == found.run_id and told.kind == "place"
    assert told.at is not None and told.at == found.at
    assert told.token == found.columns[found.best[0].pair.column].label
    assert placed(Store(store.root), TWIN, f"tiny-period:{TASK}", Way()) == told, "another name of the task"
    for other in ((TWIN, "animal/can-fly", Way()), ("tiny-sft", TASK, Way()), (TWIN, TASK, Way("query"))):
        assert placed(store, *other) is None
    assert placed(store, TWIN, "no/such", Way()) is None and placed(store, "/no/such", TASK, Way()) is None
    store.delete(found.run_id)
    assert placed(store, TWIN, TASK, Way()) is None


def test_a_token_has_the_name_as_published_where_it_has_that(store: Store) -> None:
    found = ivx.place(load("tiny-sft"), TASK, readers="none")
    assert found.at is not None and found.at.source_token == "keyword", "which is the last token there"
    keep(store, found)
    told = placed(store, "tiny-sft", TASK, Way())
    assert told is not None and told.at is not None
    assert told.at == found.at._replace(source_token="t_inst")


def test_the_newest_counts_and_a_lost_index_is_made_anew(found: Place, store: Store) -> None:
    keep(store, found)
    first = placed(store, TWIN, TASK, Way())
    shutil.rmtree(store.root / "index")
    assert placed(Store(store.root), TWIN, TASK, Way()) == first
    keep(store, replace(found, receipt={**found.receipt, "run": "0123456789ab"}))
    told = placed(store, TWIN, TASK, Way())
    assert told is not None and told.run == "0123456789ab"


def test_an_imported_search_an_unfinished_one_and_a_restricted_one_say_nothing(found: Place, store: Store) -> None:
    keep(store, found, imported=True)
    assert placed(store, TWIN, TASK, Way()) is None
    other = Store(store.root / "other")
    run = other.begin(found.run_id, asked={"kind": "place", "request": {}, "checkpoint": {}})
    run.append(found.table)
    assert placed(other, TWIN, TASK, Way()) is None
    third = Store(store.root / "third")
    keep(third, replace(found, request=replace(found.request, source_token="keyword")))
    assert placed(third, TWIN, TASK, Way()) is None


def test_looking_it_up_loads_neither_torch_nor_a_tokenizer(found: Place, store: Store) -> None:
    keep(store, found)
    code = (
        "import sys\nfrom pathlib import Path\nfrom ivx.jobs.places import placed\n"
        "from ivx.store.store import Store\nfrom ivx.tasks.way import Way\n"
        f"print(placed(Store(Path({str(store.root)!r})), {TWIN!r}, {TASK!r}, Way()).run)\n"
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'sklearn') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:2] == [found.run_id, "[]"], told.stderr
