"""The atlas: drawn from what is stored, the rest named; the best cell is the map's, and its table is LaTeX's."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ivx.analyses import defaults
from ivx.analyses.effects.result import Effects
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.jobs.atlas import chosen, noted, request_of, there
from ivx.jobs.compute import stored
from ivx.store.store import Store

TASK = "animal/colour"


def test_the_command_shows_what_is_stored_and_names_the_rest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = {name: tmp_path / f"atlas.{name}" for name in ("csv", "tex", "svg")}
    options = ["--out", str(files["csv"]), "--latex", str(files["tex"]), "--figure", str(files["svg"])]
    asked = ["atlas", "--checkpoints", "tiny-sft,tiny-base", "--tasks", f"{TASK},animal/can-fly", "--stored"]
    assert main([*asked, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["task"], row["checkpoint"]) for row in found["best"]] == [(TASK, "tiny-sft"), (TASK, "tiny-base")]
    assert [row["task"] for row in found["missing"]] == ["animal/can-fly"] * 2
    store = Store()
    effects = stored(store, defaults.effects("tiny-sft", TASK))
    assert isinstance(effects, Effects)
    cells = [cell for cell in effects.cells("resid_post") if cell.state == "ok"]
    best = max(cells, key=lambda cell: abs(cell.value))
    mine = found["best"][0]
    assert (mine["patch"], mine["value"], mine["run"]) == (best.patch, best.value, effects.run_id)
    assert mine["followed"] == effects.level("followed", site="resid_post", patch=best.patch)
    with files["csv"].open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert [row["rank"] for row in rows if row["checkpoint"] == "tiny-sft"] == [str(k) for k in range(1, 11)]
    table = files["tex"].read_text(encoding="utf-8")
    assert table.count(r"\\") == 3 and r"\toprule" in table and f"${best.value:+.2f}$" in table
    assert table.count("{") == table.count("}") and "<svg" in files["svg"].read_text(encoding="utf-8")


def test_what_was_noted_is_not_read_again_and_a_pair_that_cannot_be_has_its_reason() -> None:
    store, request = Store(), request_of("tiny-sft", TASK)
    first = noted(store, request, "logit")
    assert first == noted(store, request, "logit") and first is not None and len(first) == 10
    assert noted(store, request_of("tiny-sft", TASK, samples=7), "logit") is None
    found = there(store, ["tiny-sft"], [TASK, "animal/nothing"])
    assert list(found.tops) == [(TASK, "tiny-sft")] and "nothing" in found.refused["animal/nothing", "tiny-sft"]
    assert found.missing == [] and [spot.state for spot in found.spots()][1] == "missing"


@pytest.mark.parametrize(
    ("names", "tasks", "told"),
    [(("tiny-sft", "tiny-sft"), (TASK,), "each once"), (("tiny-sft",), (), "one or more"), (("tiny",), (TASK,), "")],
)
def test_checkpoints_and_tasks_are_named_once(names: tuple[str, ...], tasks: tuple[str, ...], told: str) -> None:
    if told:
        with pytest.raises(IvxError, match=told):
            chosen(names, tasks)
    else:
        assert len(chosen(names, tasks)[0]) == 4
