"""A report: one page that fetches nothing, from runs that are there, and tables that compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import ivx
from ivx.analyses.effects.result import Effects
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.report.latex import escaped
from ivx.report.parts import PARTS
from tests.support.browser import ARGS, chromium, outside, watched

STORED = ("maps", "probes", "pairs")
"""Parts whose runs come with ivx."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ivx.Inspection:
    from ivx.store.store import Store

    said: list[str] = []
    store = Store(tmp_path_factory.mktemp("store"))
    inspection = ivx.inspect("tiny-sft", parts=STORED, store=store, on_step=said.append)
    assert said == ["every part is stored: nothing is to be computed"]
    return inspection


def test_what_is_stored_is_told_without_loading_the_model(found: ivx.Inspection) -> None:
    assert [one.origin for one in found.sections] == ["stored"] * 3 and not found.proved_now
    assert {name: one.request.kind for name, one in found.results.items()} == {
        "maps": "effects",
        "probes": "separability",
        "pairs": "interactions",
    }
    assert found.task == "animal/colour" and found.checks


def test_the_page_says_every_number_with_its_interval_and_n(found: ivx.Inspection, tmp_path: Path) -> None:
    page = found.html()
    assert len(page) < 10_000_000 and page.count("<svg") == 4
    maps = found.results["maps"]
    assert isinstance(maps, Effects)
    best = max((c for c in maps.cells("resid_post", "contrast") if c.state == "ok"), key=lambda c: c.value)
    assert f"{best.value:+.2f} logits [{best.low:+.2f}, {best.high:+.2f}]" in page
    assert f"n = {found.results['maps'].receipt['samples']}" in page
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))  # a drawing's parts would else be taken from another drawing
    asked = re.findall(r'url\(#([^)"]+)\)|href="#([^"]+)"', page)
    assert {one or other for one, other in asked} <= set(names)
    assert not re.search(r'(src|href)="(?!#)', page) and "<script" not in page and "url(http" not in page


def test_what_cannot_be_had_says_so_in_its_place(found: ivx.Inspection) -> None:
    from dataclasses import replace

    lacking = replace(found.sections[0], found=None, refused="a <reason>")
    page = replace(found, sections=(lacking, *found.sections[1:])).html()
    assert "Not there: a &lt;reason&gt;." in page and "<reason>" not in page


def test_what_is_missing_is_not_computed_unasked(tmp_path: Path) -> None:
    from ivx.store.store import Store

    store = Store(tmp_path)
    said = ivx.inspect("tiny-sft", store=store, compute=False)
    assert set(said.results) == {"maps", "probes", "pairs"}
    assert said.html().count("nothing of it is stored yet") == 2 * 3
    hidden = ivx.inspect("tiny-sft", store=store, compute=False, may_see=lambda run: False)
    assert not hidden.results and not hidden.checks


def test_the_tables_are_of_booktabs_and_escaped(found: ivx.Inspection) -> None:
    text = found.latex()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) >= 3 * 4 and {line.count(" & ") for line in rows} == {6}
    assert escaped("50 % of a_b → {x} ‹query› −1") == r"50 \% of a\_b $\rightarrow$ \{x\} ?query? $-$1"


def test_the_command_refuses_before_it_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "tiny-sft", "--out", str(tmp_path / "x.pdf")]) == 2
    assert main(["inspect", "tiny-sft", "--latex", str(tmp_path / "x.doc"), "--out", str(tmp_path / "x.html")]) == 2
    assert main(["inspect", "tiny-sft", "--parts", "soul", "--out", str(tmp_path / "x.html")]) == 2
    assert "soul" in capsys.readouterr().err and not list(tmp_path.iterdir())
    with pytest.raises(IvxError):
        ivx.inspect("no-such-checkpoint")


@pytest.mark.slow
def test_the_page_opens_offline_and_asks_nothing_of_anybody(found: ivx.Inspection, tmp_path: Path) -> None:
    found.save(tmp_path / "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGS)
        context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 1000, "height": 800})
        page = watched(context.new_page())
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("svg").count() == 4 and page.get_by_role("heading", name="Maps").is_visible()
        assert [url for url in outside(page) if not url.startswith("file:")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1000
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 26, 32)"
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
)
def test_the_tables_compile(found: ivx.Inspection, tmp_path: Path) -> None:
    found.save(tmp_path / "tables.tex")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


@pytest.mark.slow
def test_a_checkpoint_of_which_nothing_is_stored_is_inspected_quickly(tmp_path: Path) -> None:
    from ivx.store.store import Store

    said: list[str] = []
    found = ivx.inspect("tiny-sft-period", quick=True, store=Store(tmp_path), on_step=said.append)
    assert said[0].startswith("loading") and "on this machine for" in said[1]
    assert [one.part.name for one in found.sections if one.found is not None] == [part.name for part in PARTS]
    assert found.proved_now and all(one["passed"] for one in found.checks)


def test_a_notebook_draws_a_result_without_network_or_script(found: ivx.Inspection) -> None:
    told = found.results["probes"]._repr_mimebundle_(include=None, exclude=None)
    assert told["text/plain"] == f"Separability of tiny-sft, run {found.results['probes'].run_id}"
    drawn = told["image/svg+xml"]
    assert drawn.startswith("<svg") and "<script" not in drawn and not re.search(r'href="http', drawn)
