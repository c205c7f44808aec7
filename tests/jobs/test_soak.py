"""A crowd for a while, by real clients: pages in time, nobody's words sent to others, nothing left behind."""

from __future__ import annotations

import pytest

from tests.support.soak import soaked

SLOWEST_SECONDS = 60.0
"""The bound on a page's drawing, with as many visitors as two cores can serve."""


@pytest.mark.slow
def test_a_soak_leaves_nothing_behind() -> None:
    found = soaked(10, 120.0)
    print(found)
    assert not found.seen.leaks and not found.seen.broken
    assert found.seen.every()[-1] < SLOWEST_SECONDS
    assert found.after.memory < 1.1 * found.before.memory + 60  # MB: results that the worker keeps of what was asked
    assert found.after.descriptors <= found.before.descriptors + 8 and found.after.threads <= found.before.threads + 4
