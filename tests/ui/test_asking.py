"""The controls for a way of asking: fields, controls and ways say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ivx.tasks.way import Way
from ivx.ui.kit import asking

APP = Path(__file__).parents[2] / "app.py"
WAYS = [
    Way(),
    Way("query"),
    Way(demonstrations=12, spelling="capital"),
    Way("chat", system="Be brief."),
    Way(template="the {query} is"),
]


@pytest.mark.parametrize("way", WAYS)
def test_fields_mean_the_way_that_they_came_from(way: Way) -> None:
    assert asking.way_of(asking.fields_of(way)) == way
    told = asking.chosen_by(way)
    assert set(told) <= set(asking.INITIAL) and not any(told[key] == asking.INITIAL[key] for key in told)


@pytest.mark.parametrize("way", WAYS[:3])
def test_what_an_address_names_is_what_is_asked(way: Way) -> None:
    page = AppTest.from_file(str(APP), default_timeout=90).switch_page("ivx/ui/pages/tasks.py")
    for key, value in asking.chosen_by(way).items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    drawn = {key: page.session_state[key] for key in asking.INITIAL}
    assert drawn == asking.INITIAL | asking.chosen_by(way)
