"""The contract: whatever the registry lists can be computed, stored, read back, checked, replayed, drawn and told."""

from __future__ import annotations

import inspect
import io
import json
import os
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import ivx
from ivx.analyses.base import Analysis, Result
from ivx.analyses.registry import ANALYSES, analysis_of, checked, context, request_of, restored
from ivx.analyses.vectors import VECTORS
from ivx.archive import pack, unpack
from ivx.cli.arguments import help_of
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.formats import pictures
from ivx.formats.plotted import ROWS
from ivx.jobs.compute import computed, stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.load import load
from ivx.models.model import Model
from ivx.request import BaseRequest
from ivx.store.store import Store
from ivx.ui.kit import exports
from tests.support.browser import ROOT

SFT = "tiny-sft"
SMALL: dict[str, Any] = {
    "task": "animal/colour",
    "tasks": ("animal/colour", "animal/can-fly"),
    "samples": 6,
    "sites": ("resid_post",),
    "permutations": 2,
    "wordings": 20,
    "folds": 2,
    "repeats": 1,
    "traced": 1,
    "ablation": "none",
    "layer": 3,
    "texts": ("look at the limpet .", "animal : limpet ."),
    "ways": ("prompt", "query"),
    "prompt": "animal : limpet . answer :",
    "source": "here is the new animal ; give its own colour",
    "take": "3@-1",
    "put": "3@0",
}
"""Fields of the requests here, by name: what a kind cannot do without, and what keeps it short."""
DEVIATION = 1e-3
"""Of float32, between a row computed in a batch and alone."""
each = pytest.mark.parametrize("analysis", ANALYSES, ids=[analysis.kind for analysis in ANALYSES])


def small(analysis: Analysis[Any, Any], **more: Any) -> Any:
    names = {field.name for field in fields(analysis.request)}
    return analysis.request(SFT, **{name: value for name, value in (SMALL | more).items() if name in names})


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SFT)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def results(model: Model, store: Store) -> dict[str, Any]:
    """A result of every kind, computed through the store once."""
    vectors = computed(store, model, small(VECTORS))
    found: dict[str, Any] = {}
    for analysis in ANALYSES:
        request = small(analysis, vectors=vectors.run_id)
        found[analysis.kind] = stored(store, request) or computed(store, model, request)
    return found


@each
def test_what_was_computed_is_read_back(analysis: Analysis[Any, Any], results: dict[str, Any], store: Store) -> None:
    found = results[analysis.kind]
    saved = analysis.saved
    assert isinstance(found, Result) and type(found) is saved.result and found.table.num_rows
    assert found.table.schema.equals(saved.rows) and set(saved.key) <= set(saved.rows.names)
    assert set(context(found)) == {"layers", *saved.context}
    again = stored(store, found.request)
    assert again is not None and again.table.equals(found.table) and again.run_id == found.run_id
    assert again.summary()["run"] == found.run_id


@each
def test_a_context_is_json_and_back(analysis: Analysis[Any, Any], results: dict[str, Any]) -> None:
    found = results[analysis.kind]
    asked = {"kind": analysis.kind, "request": found.receipt["request"], "checkpoint": found.receipt["checkpoint"]}
    asked, told = json.loads(json.dumps([asked, context(found)]))
    assert request_of(asked) == found.request
    back = restored(asked, told, found.table, found.receipt)
    assert checked(back) is back
    assert back.figures() == found.figures() and json.dumps(back.summary()) == json.dumps(found.summary())


@each
def test_an_archive_is_read_and_a_changed_one_refused(analysis: Analysis[Any, Any], results: dict[str, Any]) -> None:
    found = results[analysis.kind]
    data = pack.of_result(found)
    run = unpack.unpack(io.BytesIO(data))
    assert run.result.table.equals(found.table) and ivx.read(io.BytesIO(data)).figures() == found.figures()
    doubled = found.table.slice(0, 1)
    changed = analysis.saved.read(found.request, context(found), doubled, {**found.receipt, "rows": 2})
    with pytest.raises(IvxError, match="cannot be used"):
        checked(changed)


@each
def test_rows_are_replayed(analysis: Analysis[Any, Any], results: dict[str, Any], model: Model, store: Store) -> None:
    found = results[analysis.kind]
    again = replay(store, model, ReplayRequest(SFT, found.run_id, rows=3))
    assert len(again.rows) == len(again.stored) == len(again.again) == 3 and again.largest < DEVIATION


def test_stored_runs_are_read_and_drawn_without_torch(results: dict[str, Any], store: Store) -> None:
    code = (
        "import sys\n"
        "from ivx.analyses.registry import analysis_of\n"
        "from ivx.jobs.compute import result_of\n"
        "from ivx.store.store import Store\n"
        "found = [result_of(Store().find(entry.run)) for entry in Store().entries()]\n"
        "for one in found:\n"
        "    one.figures()\n"
        "    analysis_of(one.request.kind).words.text(one.summary())\n"
        "print(sorted(one.request.kind for one in found), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "IVX_CACHE": str(store.root)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert run.stdout.strip() == f"{sorted(results)} False", run.stderr


@each
def test_figures_are_named_before_they_are_drawn(analysis: Analysis[Any, Any], results: dict[str, Any]) -> None:
    found = results[analysis.kind]
    figures = found.figures()
    assert tuple(figures) == found.figure_names and figures
    rows = found.plotted()
    assert rows.schema == ROWS and set(rows["figure"].to_pylist()) == set(figures)
    for name, spec in figures.items():
        assert pictures.svg(spec).startswith("<svg") and spec["title"]
        assert isinstance(analysis.words.caption(found, name, "contrast"), str)
    assert found.chart().to_dict()


@each
def test_the_command_tells_what_the_function_returns(
    analysis: Analysis[Any, Any],
    results: dict[str, Any],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    found = results[analysis.kind]
    monkeypatch.setattr("ivx.store.store.Store", lambda: store)
    argv = shlex.split(exports.in_shell(found.request, "contrast"))[3:]
    assert main([*argv, "--out", str(tmp_path / "rows.csv")]) == 0
    text = capsys.readouterr().out
    assert found.run_id in text and text.strip() == analysis.words.text(found.summary())
    assert (tmp_path / "rows.csv").read_bytes()


@each
def test_the_function_takes_the_requests_fields(analysis: Analysis[Any, Any]) -> None:
    function = getattr(ivx, analysis.kind)
    assert function is analysis.function and analysis.kind in ivx.__all__ and function.__doc__
    wanted = {field.name: field for field in fields(analysis.request) if field.name != "checkpoint"}
    taken = dict(inspect.signature(function).parameters)
    assert list(taken)[0] == "model" and "on_progress" in taken
    del taken["model"], taken["on_progress"]
    assert taken.keys() == wanted.keys()
    for name, parameter in taken.items():
        default = wanted[name].default
        assert parameter.default is inspect.Parameter.empty if repr(default).startswith("<data") else True
        assert parameter.default == default or parameter.default is inspect.Parameter.empty


def test_the_function_and_the_command_are_one_run(results: dict[str, Any], model: Model) -> None:
    found = results["effects"]
    again = ivx.effects(model, "animal/colour", samples=SMALL["samples"], sites=["resid_post"])
    assert again.run_id == found.run_id and again.summary()["cells"] == found.summary()["cells"]


@each
def test_every_field_is_told(analysis: Analysis[Any, Any]) -> None:
    told = help_of(analysis.request)
    assert {field.name for field in fields(analysis.request)} <= told.keys()
    assert analysis.title and analysis.title[0].islower()


def test_a_kind_is_found_by_its_name() -> None:
    kinds = [analysis.kind for analysis in ANALYSES]
    assert [analysis_of(kind) for kind in kinds] == list(ANALYSES)
    with pytest.raises(IvxError, match=f"did you mean {kinds[0]}"):
        analysis_of(kinds[0][:-1])
    with pytest.raises(IvxError, match=f"there are {', '.join(kinds)}"):
        analysis_of("x")
    assert len(set(kinds)) == len(kinds) and all(issubclass(a.request, BaseRequest) for a in ANALYSES)
