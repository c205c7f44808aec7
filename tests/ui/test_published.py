"""One click on Effects asks as the paper does, and one more as ivx does."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.published import is_published

APP = Path(__file__).parents[2] / "app.py"


@pytest.mark.slow
def test_one_click_asks_as_published_and_the_next_as_ivx_does() -> None:
    page = AppTest.from_file(str(APP), default_timeout=180)
    for key, value in {"checkpoint": "tiny-sft", "task": "animal/colour", "n": "10"}.items():
        page.query_params[key] = value
    page.switch_page("ivx/ui/pages/effects.py").run()
    page.button(key="published").click().run()
    assert not page.exception
    assert page.session_state["worded"] == "0" and page.session_state["metric"] == "logit"
    told = {"target_format": "query", "spelling": "alone", "wording": 0, "source_token": "t_inst", "position": "first"}
    keys = ("format", "spelling", "worded", "source", "position")
    shown = {name: page.session_state[key] for name, key in zip(told, keys, strict=True)}
    assert is_published(EffectsRequest("tiny-sft", "animal/colour", **shown | {"wording": int(shown["wording"])}))
    assert page.button(key="published").label == "As ivx asks"
    page.button(key="published").click().run()
    assert not page.exception and page.button(key="published").label == "Ask as published"
    assert page.session_state["worded"] == "" and page.session_state["metric"] == "contrast"
