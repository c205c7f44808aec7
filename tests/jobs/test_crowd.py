"""Many sessions at once, by real clients: a few of them in the suite, thirty in the slow one."""

from __future__ import annotations

import pytest

from tests.support.crowd import measured


@pytest.mark.slow
def test_some_sessions_are_served_their_own_and_each_run_is_computed_once() -> None:
    print(measured(4, 2))


@pytest.mark.slow
def test_thirty_sessions_with_ten_requests_are_served() -> None:
    print(measured(30, 10, patience=1200.0))
