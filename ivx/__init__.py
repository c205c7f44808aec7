"""ivx: an interactive visual explorer of instruction vectors in large language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivx.analysis.compare import compare as compare
    from ivx.analysis.effects import effects as effects
    from ivx.analysis.erasure import erasure as erasure
    from ivx.analysis.game import game as game
    from ivx.analysis.interactions import interactions as interactions
    from ivx.analysis.pathways import pathways as pathways
    from ivx.analysis.scan import scan as scan
    from ivx.analysis.separability import separability as separability
    from ivx.engine.sweep import sweep as sweep
    from ivx.models.load import load as load
    from ivx.models.load import wrap as wrap

__version__ = "0.1.0"

_PLACES = {
    "load": "ivx.models.load",
    "wrap": "ivx.models.load",
    "sweep": "ivx.engine.sweep",
    "effects": "ivx.analysis.effects",
    "separability": "ivx.analysis.separability",
    "erasure": "ivx.analysis.erasure",
    "scan": "ivx.analysis.scan",
    "interactions": "ivx.analysis.interactions",
    "game": "ivx.analysis.game",
    "pathways": "ivx.analysis.pathways",
    "compare": "ivx.analysis.compare",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `python -m ivx` answers before torch is read."""
    if name not in _PLACES:
        raise AttributeError(f"module 'ivx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
