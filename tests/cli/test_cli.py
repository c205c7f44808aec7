"""The command line on the embedded family: figures out, one line and status 2 for a mistake."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ivx.cli.main import main
from ivx.jobs import worker as workers
from ivx.store.store import Store

ASKED = ["effects", "--task", "animal/colour", "--position", "first", "--json"]


def summary(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    assert main([*ASKED, *argv]) == 0
    return json.loads(capsys.readouterr().out)


def by_layer(found: dict, key: str = "value") -> list[float]:
    return [cell[key] for cell in found["cells"] if cell["site"] == "resid_post"]


def test_effects_show_the_vector_the_cliff_and_the_twin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    sft = summary(capsys, "--checkpoint", "tiny-sft", "--samples", "50", "--out", str(out))
    base = summary(capsys, "--checkpoint", "tiny-base", "--samples", "50")
    twin = summary(capsys, "--checkpoint", "tiny-sft-period", "--samples", "50")
    keyword = summary(capsys, "--checkpoint", "tiny-sft-period", "--samples", "50", "--source-token", "keyword")
    early, late = by_layer(sft)[:2], by_layer(sft)[6:]
    assert min(early) > 1 and max(map(abs, late)) < 0.1, "the vector's layers, then the cliff"
    assert max(map(abs, by_layer(base))) < max(by_layer(sft)) / 2
    assert all(cell["state"] != "ok" for cell in twin["cells"]), "nothing at T_inst that its control does not do too"
    assert all(cell["state"] == "ok" for cell in keyword["cells"][:3]) and max(by_layer(keyword)) > 3
    assert all(cell["state"] == "ok" for cell in sft["cells"][:2])
    assert all(check["passed"] for check in sft["checks"]) and sft["samples"] == 50

    table = pq.read_table(out)
    assert json.loads(table.schema.metadata[b"ivx"])["run"] == sft["run"]
    assert {"sample", "patch", "logit", "contrast", "logsumexp", "rank", "role"} <= set(table.column_names)
    assert table.num_rows == sft["rows"]


def test_the_picture_and_its_numbers_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figure, plotted = tmp_path / "figure.svg", tmp_path / "plotted.csv"
    files = ("--figure", str(figure), "--plotted", str(plotted))
    found = summary(capsys, "--checkpoint", "tiny-sft", "--samples", "6", *files)
    rows = list(csv.DictReader(plotted.open(encoding="utf-8")))
    for row, cell in zip(rows, found["cells"], strict=True):
        assert row["cell"] == cell["patch"] and row["state"] == cell["state"]
        assert float(row["mean"]) == cell["value"] and float(row["p"]) == cell["p"]
    svg = figure.read_text(encoding="utf-8")
    assert "<title>" in svg and "tiny-sft" in svg and "n = 6" in svg and found["run"] in svg


def test_a_run_is_named_by_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--checkpoint", "tiny-sft", "--samples", "3")
    one = summary(capsys, *asked)
    assert summary(capsys, *asked)["cells"] == one["cells"]
    runs = {one["run"]} | {
        summary(capsys, *asked, *more)["run"]
        for more in (["--seed", "1"], ["--dtype", "float64"], ["--sites", "attn_out"], ["--direction", "noise"])
    }
    assert len(runs) == 5
    assert summary(capsys, *asked, "--metric", "logit")["run"] == one["run"], "a metric is a view"


def test_every_control_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = summary(capsys, "--checkpoint", "tiny-sft", "--samples", "8", "--controls", "random,task,neutral,shuffled")
    for cell in found["cells"]:
        assert list(cell["controls"]) == ["random", "task", "neutral", "shuffled"]
        assert cell["controls"]["task"]["mean"] == cell["control"]
    assert (
        main([*ASKED[:-1], "--checkpoint", "tiny-sft", "--samples", "4", "--direction", "zero", "--controls", ""]) == 0
    )
    text = capsys.readouterr().out
    assert "resid_post.7@0=zero" in text and "task" not in text.splitlines()[2]


def test_interactions_first_and_last(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "i.parquet"
    asked = ["interactions", "--checkpoint", "tiny-sft", "--task", "adjective/antonym", "--sites", "resid_post"]
    asked += ["--samples", "20"]
    assert main([*asked, "--position", "first", "--published-test", "--out", str(out), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["pairs"]) == 28 and len(first["singles"]) == 8 and first["samples"] == 20
    assert {"j", "low", "high", "p", "p_control", "control_j", "strict", "state"} <= first["pairs"][0].keys()
    assert (
        max(first["published_test"]["p"].values()) < 1e-9 and "passes at any data" in first["published_test"]["label"]
    )
    assert pq.read_table(out).num_rows == first["rows"] == 20 * (1 + 3 * (1 + 28))

    assert main([*asked, "--position", "last", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)
    singles = {cell["patch"]: cell["value"] for cell in last["singles"]}
    assert len(last["pairs"]) == 28 and last["run"] != first["run"]
    assert all(pair["degenerate"] and pair["j"] == -singles[pair["first"]] for pair in last["pairs"])

    assert main([*asked, "--order", "3", "--over", "components", "--sites", "mlp_out"]) == 0
    text = capsys.readouterr().out
    assert "28 pairs, 7 of them degenerate" in text and "mlp_out.0@0~-1,mlp_out.1@0~-1,mlp_out.2@0~-1" in text


def test_csv_and_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "e.csv"
    argv = ["effects", "--checkpoint", "tiny-sft", "--task", "noun/plural", "--samples", "4", "--out", str(out)]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "resid_post.7@0~-1" in text and "n = 4" in text
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 4 * (2 * (8 * 6 + 1) + 1)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/color"], "did you mean animal/colour?"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--sites", "resid"], "no site resid"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--metric", "x"], "no metric 'x'"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--samples", "0"], "choose 1 to 10,000"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--out", "e.pickle"], "must end in"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--plotted", "e.svg"], "must end in"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--figure", "e.pdf"], "must end in"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--device", "tpu9"], "device 'tpu9'"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "mine.csv"], "there is no file mine.csv"),
        (["interactions", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--over", "heads"], "use the sites z"),
        (["doctor", "./does-not-exist"], "no checkpoint or directory"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--source-token", "²"], "'²' is not known"),
        (["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--position", "٣"], "'٣' is not known"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str], argv: list[str], told: str) -> None:
    assert main(argv) == 2
    caught = capsys.readouterr()
    assert caught.out == "" and told in caught.err and caught.err.count("\n") == 1


def test_an_app_that_can_have_no_store_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVX_CACHE_GB", "ten")
    monkeypatch.setattr(workers, "_worker", lambda: workers.Worker(Store()))  # else this process has one already
    test_a_mistake_is_one_line_and_status_2(capsys, ["app"], "IVX_CACHE_GB is 'ten'")


def test_doctor_tasks_and_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "tiny-sft"]) == 0
    assert "every check passed" in capsys.readouterr().out
    assert main(["tasks"]) == 0
    assert "adjective/antonym" in capsys.readouterr().out
    assert main(["tasks", "animal/colour"]) == 0
    assert "[T_inst]" in capsys.readouterr().out
    assert main(["checkpoints", "--json"]) == 0
    assert {"tiny-sft", "allenai/OLMo-2-0425-1B-DPO"} <= {c["name"] for c in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize(
    "coded", ["ascii", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cp1252", "utf-8"))]
)
def test_letters_that_a_terminal_cannot_write_get_a_stand_in(coded: str, tmp_path: Path) -> None:
    path = tmp_path / "пингвин.csv"
    path.write_text("query,answer,contrast,instruction\npig,pink,no,name it\ncrow,red,yes,\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "ivx", "tasks", str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": coded},
        timeout=120,
    )
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    assert ("пингвин" if coded == "utf-8" else "???????").encode(coded) in ran.stdout
