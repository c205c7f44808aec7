"""ivx: an interactive visual explorer of instruction vectors in large language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivx.analyses.effects.compute import effects as effects
    from ivx.analyses.effects.scan import scan as scan
    from ivx.analyses.erasure.compute import erasure as erasure
    from ivx.analyses.game.compute import game as game
    from ivx.analyses.interactions.compute import interactions as interactions
    from ivx.analyses.pathways.compute import pathways as pathways
    from ivx.analyses.separability.compute import separability as separability
    from ivx.engine.sweep import sweep as sweep
    from ivx.jobs.compare import compare as compare
    from ivx.models.load import load as load
    from ivx.models.load import wrap as wrap

__version__ = "0.1.0"

_PLACES = {
    "load": "ivx.models.load",
    "wrap": "ivx.models.load",
    "sweep": "ivx.engine.sweep",
    "effects": "ivx.analyses.effects.compute",
    "separability": "ivx.analyses.separability.compute",
    "erasure": "ivx.analyses.erasure.compute",
    "scan": "ivx.analyses.effects.scan",
    "interactions": "ivx.analyses.interactions.compute",
    "game": "ivx.analyses.game.compute",
    "pathways": "ivx.analyses.pathways.compute",
    "compare": "ivx.jobs.compare",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `python -m ivx` answers before torch is read."""
    if name not in _PLACES:
        raise AttributeError(f"module 'ivx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
