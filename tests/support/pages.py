"""Pages as functions, for a test that runs one by itself."""

from __future__ import annotations

import re


def plain(html: str) -> str:
    """HTML as it reads before its terms explain themselves."""
    return re.sub(r'<span class="ivx-term"[^>]*>(.*?)</span>', r"\1", html)


def separability() -> None:
    from ivx.charts.palette import LIGHT
    from ivx.ui.separability import page as separability

    separability.show(separability.controls(), LIGHT)
