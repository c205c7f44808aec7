"""A few sessions at once, as a short form of `tests/sessions.py`."""

from __future__ import annotations

from tests.sessions import measured


def test_sessions_share_what_is_equal_and_nothing_else() -> None:
    print(measured(6, 3, patience=120.0))
