"""The Checkpoints page: an own checkpoint is found, seen, opened and listed again; what may not be is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from ivx.models.registry import EMBEDDED
from ivx.ui.kit import roots
from ivx.ui.library import prospect
from tests.support.browser import PATIENCE, go, opened, pick, serving
from tests.support.ggufs import written

APP = Path(__file__).parents[2] / "app.py"
ADAPTER = Path(__file__).parents[2] / "ivx/taught/adapters/smollm2-sft"
PAGE = "ivx/ui/pages/checkpoints.py"


def looking(**told: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120).switch_page(PAGE)
    app.query_params.update(told)
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def said(app: AppTest) -> str:
    return re.sub(r"<[^>]+>", " ", " ".join(one.proto.body for one in app.get("html")))


@pytest.mark.browser
def test_an_own_checkpoint_in_five_actions_and_again_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(EMBEDDED / "tiny-sft", home / "models" / "mine *v2*")
    told: dict[str, Any] = {"HOME": str(home), "IVX_CACHE": str(tmp_path / "store"), "IVX_ROOTS": ""}
    with serving(**told) as app:
        page = opened(browser, f"{app}/checkpoints")
        page.get_by_role("button", name=str(home)).click(timeout=PATIENCE)
        page.get_by_role("button", name="models").click()
        page.get_by_role("button", name="mine *v2* · safetensors, 4 MB").click()
        expect(page.get_by_text("olmo2, 8 layers × 8 heads, width 128")).to_be_visible(timeout=PATIENCE)
        page.get_by_role("button", name="Check and open").click()
        expect(page.get_by_text("All 9 checks passed")).to_be_visible(timeout=PATIENCE)
        page.wait_for_url(re.compile(r"\?checkpoint=[^&]*mine[^&]*$"))
        page.get_by_role("link", name="Does it follow instructions?").click()
        page.wait_for_url(re.compile("/behaviour.*mine"), timeout=PATIENCE)
        expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value("mine *v2*", timeout=PATIENCE)
        go(page, "Effects")
        page.wait_for_url(re.compile("/effects.*mine"), timeout=PATIENCE)
        page.close()
    with serving(**told) as app:
        page = opened(browser, f"{app}/checkpoints")
        expect(page.get_by_text("All 9 checks passed")).to_be_visible(timeout=PATIENCE)
        pick(page, "Open here", "mine *v2*")
        page.wait_for_url(re.compile("checkpoint=[^&]*mine"), timeout=PATIENCE)
        packed = tmp_path / "packed one.gguf"
        written(packed)
        page.get_by_role("tab", name="Drop a file").click()
        chooser = page.locator("input[type=file]")
        chooser.set_input_files([EMBEDDED / "tiny-sft" / "config.json"])
        expect(page.get_by_text("config.json will not do: drop one GGUF file")).to_be_visible(timeout=PATIENCE)
        page.get_by_role("button", name="Remove config.json").click()
        chooser.set_input_files([packed])
        expect(page.get_by_text(re.compile("MB, GGUF"))).to_be_visible(timeout=PATIENCE)
        assert [one.name for one in (tmp_path / "store" / "dropped").glob("*/*")] == ["packed-one.gguf"]
        page.close()


def test_what_is_looked_at_is_in_the_address_and_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVX_ROOTS", str(tmp_path))
    shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "mine")
    app = looking(checkpoint="tiny-base", look=str(tmp_path / "mine"))
    assert "olmo2, 8 layers × 8 heads" in said(app) and app.selectbox("checkpoint").value == "tiny-base"
    assert str(tmp_path / "mine") not in app.selectbox("checkpoint").options
    next(one for one in app.button if one.label == "Check and open").click().run()
    assert app.selectbox("checkpoint").value == str(tmp_path / "mine") and "All 9 checks passed" in said(app)
    assert "look" not in app.query_params


def test_what_may_not_be_read_or_cannot_be_opened_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowed" / "half").mkdir(parents=True)
    monkeypatch.setenv("IVX_ROOTS", str(tmp_path / "allowed"))
    shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "outside")
    shutil.copytree(ADAPTER, tmp_path / "adapter")
    assert not prospect.is_adapter(str(tmp_path / "adapter")) and not prospect.is_adapter("\0")
    shutil.copytree(ADAPTER, tmp_path / "allowed" / "adapter")
    assert prospect.is_adapter(str(tmp_path / "allowed" / "adapter"))
    for name, why in (
        (tmp_path / "adapter", "does not lie under a directory"),
        (tmp_path / "outside", "does not lie under a directory"),
        (tmp_path / "allowed" / "half", "has no config.json"),
        ("org/none", "not on this machine and the hub cannot be reached"),
    ):
        app = looking(look=str(name))
        assert why in said(app), said(app)
        assert next(one for one in app.button if one.label == "Check and open").disabled


def test_a_server_for_others_reads_its_roots_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in (("HOME", str(tmp_path)), ("IVX_ROOTS", "")):
        monkeypatch.setenv(key, value)
    options = {"server.address": "127.0.0.1", "server.allowedHosts": ["localhost"], "secrets.files": []}
    monkeypatch.setattr("streamlit.get_option", options.get)
    assert roots.own() and tmp_path in roots.allowed()
    others: list[dict[str, Any]] = [
        {"server.address": None},
        {"server.address": "0.0.0.0"},  # noqa: S104
        {"server.allowedHosts": ["ivx.example"]},
        {"server.allowedHosts": []},
        {"secrets.files": [str(APP)]},
    ]
    for change in others:
        monkeypatch.setattr("streamlit.get_option", (options | change).get)
        assert not roots.own() and roots.allowed() == [Path.cwd()], change
    monkeypatch.setattr("streamlit.get_option", options.get)
    monkeypatch.setenv("IVX_ROOTS", "/srv/models")
    assert not roots.own() and roots.allowed() == [Path("/srv/models")]
