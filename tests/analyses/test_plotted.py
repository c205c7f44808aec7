"""The table of what figures show: every row is a cell's own numbers, of every kind of result."""

from __future__ import annotations

from typing import Any

import pytest

from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.family import REAL
from ivx.formats import parquet, sheet
from ivx.formats.plotted import ROWS, Plotted, table
from ivx.jobs.compute import id_of, stored
from ivx.jobs.shipped import shipped
from ivx.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("plotted"))


@pytest.fixture(scope="module")
def toy(store: Store) -> dict[str, Any]:
    """The runs of one toy checkpoint by kind."""
    asked = {one.kind: one for one in reversed(shipped()) if one.checkpoint == "tiny-sft"}
    return {kind: stored(store, one) for kind, one in asked.items()}


@pytest.fixture(scope="module")
def place(store: Store) -> Any:
    found = stored(store, REAL.anchor)
    assert found is not None, "the real family's first run ships"
    return found


@pytest.mark.parametrize("metric", ["contrast", "logprob"])
def test_effects_are_the_cells(toy: dict[str, Any], metric: str) -> None:
    found = toy["effects"]
    cells = [(site, cell) for site in found.maps for cell in found.cells(site, metric)]
    rows = found.plotted(metric).to_pylist()
    assert len(rows) == len(cells) > 40 and found.plotted(metric).schema == ROWS
    for row, (site, cell) in zip(rows, cells, strict=True):
        assert (row["figure"], row["cell"], row["layer"], row["n"]) == (site, cell.patch, cell.layer, cell.n)
        assert (row["mean"], row["low"], row["high"], row["p"]) == (cell.value, cell.low, cell.high, cell.p)
        assert (row["control"], row["p_control"], row["state"]) == (cell.control, cell.p_control, cell.state)
        assert (row["checkpoint"], row["task"], row["run"]) == ("tiny-sft", found.request.task, found.run_id)
    assert {"ok", "zero"} <= {row["state"] for row in rows}


def test_pairs_are_the_cells(toy: dict[str, Any]) -> None:
    found = toy["interactions"]
    rows = found.plotted().to_pylist()
    for row, cell in zip(rows, found.cells(), strict=True):
        told = (cell.patch, cell.j, cell.low, cell.high, cell.p, cell.control_j, cell.p_control, cell.state, cell.n)
        names = ("cell", "mean", "low", "high", "p", "control", "p_control", "state", "n")
        assert tuple(row[name] for name in names) == told


def test_a_game_is_its_pairs_of_layers(toy: dict[str, Any]) -> None:
    found = toy["game"]
    rows = {row["cell"]: row for row in found.plotted().to_pylist()}
    assert len(rows) == len(found.interactions())
    for (first, second), verdict in found.interactions().items():
        row = rows[f"{first},{second}"]
        assert row["label"] == f"L{first} with L{second}" and row["layer"] == second
        assert (row["mean"], row["low"], row["high"], row["p"]) == verdict[:4]
        assert (row["control"], row["p_control"], row["state"]) == (verdict.control, verdict.p_control, verdict.state)


def test_probes_are_the_bells_and_their_baselines(toy: dict[str, Any]) -> None:
    found = toy["separability"]
    rows = found.plotted().to_pylist()
    component = found.request.components[0]
    layers = [row for row in rows if row["layer"] is not None]
    for row, cell in zip(layers, found.cells(component), strict=True):
        assert (row["mean"], row["low"], row["high"]) == (cell.accuracy.value, cell.accuracy.low, cell.accuracy.high)
        assert (row["control"], row["p_control"], row["state"]) == (cell.control.value, cell.p, cell.state)
    assert {row["label"]: row["mean"] for row in rows if row["layer"] is None} == found.baselines()


def test_a_place_is_its_layers_its_search_and_its_readers(place: Any) -> None:
    rows = place.plotted().to_pylist()
    at, by = place.found(), {name: [row for row in rows if row["figure"] == name] for name in place.figure_names}
    assert place.figure_names == ("place", "acts", "readers")
    for row, cell in zip(by["acts"], at.cells, strict=True):
        assert (row["mean"], row["low"], row["high"], row["p"], row["state"]) == (*cell[:4], cell.state)
        strongest = max(cell.against.values(), key=lambda one: one.mean)
        assert (row["control"], row["p_control"]) == (strongest.mean, strongest.p)
    tried = [(*panel.pair, layer) for panel in place.panels() for layer in panel.layers]
    assert len(by["place"]) == len(tried) and {row["low"] for row in by["place"]} == {None}
    steps = place.readers().steps
    assert [row["mean"] for row in by["readers"]] == [value for step in steps for value in (step.value, step.step)]


def test_an_exchange_is_its_effects_and_what_follows(store: Store, place: Any) -> None:
    transplants: dict[Any, Any] = {}
    for key in REAL.keys(REAL.tasks[0]):
        task, donor, receiver = key
        vectors = id_of(store, REAL.vectors(donor, task, place.at))
        transplants[key] = stored(store, REAL.transplant(receiver, task, place.at, vectors=vectors))
    found = Exchange(REAL.names, (REAL.tasks[0],), transplants)
    rows, cells = found.plotted().to_pylist(), found.cells()
    assert len(rows) == 2 * len(cells) == 18
    for k, cell in enumerate(cells):
        effect, share = rows[2 * k : 2 * k + 2]
        assert (effect["mean"], effect["control"], effect["p"]) == (
            cell.effect.value,
            cell.effect.control,
            cell.effect.p,
        )
        assert (share["mean"], share["low"], share["high"]) == tuple(cell.followed)
        assert effect["checkpoint"] == cell.receiver and effect["run"] == transplants[cell[:3]].run_id


def test_a_number_that_is_none_is_an_empty_cell() -> None:
    rows = [Plotted("map", "a@0", "=L0", 0, float("nan"), float("-inf"), 1.0, state="undefined", n=3)]
    found = table(rows, checkpoint="tiny", task="pair", run="0" * 12)
    assert found.to_pylist()[0] | {"mean": None, "low": None, "high": 1.0, "n": 3} == found.to_pylist()[0]
    assert '"=L0' not in sheet.csv(found).decode() and parquet.parquet(found, {}).startswith(b"PAR1")
