"""Pages as functions, for a test that runs one by itself."""

from __future__ import annotations


def separability() -> None:
    from ivx.charts.palette import LIGHT
    from ivx.ui.separability import page as separability

    separability.show(separability.controls(), LIGHT)
