"""Whatever stands in the address bar, a page is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx.ui import frame

APP = Path(__file__).parents[2] / "app.py"
KEYS = ("layer", "graft", "take", "put", "samples", "alpha", "pair", "cell", "wordings", "checkpoint", "task", "metric")


@pytest.mark.parametrize("page", sorted(path.stem for path in frame.PAGES.glob("[a-z]*.py")))
def test_a_page_outlives_numbers_that_are_none(page: str) -> None:
    for asked in ("²", "٣", "9" * 400):
        at = AppTest.from_file(str(APP), default_timeout=90)
        for key in KEYS:
            at.query_params[key] = asked
        at.switch_page(str((frame.PAGES / f"{page}.py").relative_to(APP.parent))).run()
        assert not at.exception, (page, asked, at.exception[0].message)
