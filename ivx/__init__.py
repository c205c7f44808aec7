"""ivx: an interactive visual explorer of instruction vectors in large language models."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ivx.version import VERSION

if TYPE_CHECKING:  # for editors and type checkers; at run time the registry says which analyses there are
    from ivx import names as names
    from ivx.analyses.behaviour import behaviour as behaviour
    from ivx.analyses.behaviour.result import Behaviour as Behaviour
    from ivx.analyses.bench import bench as bench
    from ivx.analyses.bench.result import Bench as Bench
    from ivx.analyses.compare.atlas import Atlas as Atlas
    from ivx.analyses.compare.exchange import Exchange as Exchange
    from ivx.analyses.compare.result import Comparison as Comparison
    from ivx.analyses.effects import effects as effects
    from ivx.analyses.effects import scan as scan
    from ivx.analyses.effects.result import Effects as Effects
    from ivx.analyses.erasure import erasure as erasure
    from ivx.analyses.erasure.result import Erasure as Erasure
    from ivx.analyses.function import function as function
    from ivx.analyses.function.result import FunctionVectors as FunctionVectors
    from ivx.analyses.game import game as game
    from ivx.analyses.game.result import Game as Game
    from ivx.analyses.interactions import interactions as interactions
    from ivx.analyses.interactions.result import Interactions as Interactions
    from ivx.analyses.lens import lens as lens
    from ivx.analyses.lens.result import Reading as Reading
    from ivx.analyses.mechanism import mechanism as mechanism
    from ivx.analyses.mechanism.result import Mechanism as Mechanism
    from ivx.analyses.mediation import mediation as mediation
    from ivx.analyses.mediation.result import Mediation as Mediation
    from ivx.analyses.pathways import pathways as pathways
    from ivx.analyses.pathways.result import Pathways as Pathways
    from ivx.analyses.picture import Picture as Picture
    from ivx.analyses.picture import picture as picture
    from ivx.analyses.place import place as place
    from ivx.analyses.place.result import Place as Place
    from ivx.analyses.published import AS_PUBLISHED as AS_PUBLISHED
    from ivx.analyses.separability import separability as separability
    from ivx.analyses.separability.result import Separability as Separability
    from ivx.analyses.transfer import transfer as transfer
    from ivx.analyses.transfer.result import Transfer as Transfer
    from ivx.analyses.transplant import transplant as transplant
    from ivx.analyses.transplant.result import Transplant as Transplant
    from ivx.analyses.variance import variance as variance
    from ivx.analyses.variance.result import Variance as Variance
    from ivx.analyses.vectors import vectors as vectors
    from ivx.analyses.vectors.result import Vectors as Vectors
    from ivx.archive.unpack import read as read
    from ivx.engine.sweep import sweep as sweep
    from ivx.errors import IvxError as IvxError
    from ivx.formats.vector import Vector as Vector
    from ivx.formats.vector import load_vector as load_vector
    from ivx.jobs.atlas import atlas as atlas
    from ivx.jobs.compare import compare as compare
    from ivx.jobs.exchange import exchange as exchange
    from ivx.jobs.places import place_of as place_of
    from ivx.models.load import load as load
    from ivx.models.load import wrap as wrap
    from ivx.models.model import Model as Model
    from ivx.models.wheels import get as get
    from ivx.report.inspection import Inspection as Inspection
    from ivx.report.inspection import inspect as inspect

__version__ = VERSION
_OTHERS = (
    "AS_PUBLISHED",
    "Atlas",
    "Comparison",
    "Exchange",
    "Inspection",
    "IvxError",
    "Model",
    "Picture",
    "Vector",
    "atlas",
    "compare",
    "exchange",
    "get",
    "inspect",
    "load",
    "load_vector",
    "names",
    "picture",
    "place_of",
    "read",
    "sweep",
    "wrap",
)
"""Public names that are no analysis."""


def __getattr__(name: str) -> Any:
    """A public name on its first use, so that `import ivx` reads neither torch nor any analysis."""
    module: Any
    match name:
        case "__all__":
            return _public()
        case "names":
            import ivx.names as module

            return module
        case "load" | "wrap":
            from ivx.models import load as module
        case "get":
            from ivx.models import wheels as module
        case "sweep":
            from ivx.engine import sweep as module
        case "place_of":
            from ivx.jobs import places as module
        case "Atlas":
            from ivx.analyses.compare import atlas as module
        case "atlas":
            from ivx.jobs import atlas as module
        case "compare":
            from ivx.jobs import compare as module
        case "exchange":
            from ivx.jobs import exchange as module
        case "AS_PUBLISHED":
            from ivx.analyses import published as module
        case "Picture" | "picture":
            from ivx.analyses import picture as module
        case "Inspection" | "inspect":
            from ivx.report import inspection as module
        case "read":
            from ivx.archive import unpack as module
        case "Vector" | "load_vector":
            from ivx.formats import vector as module
        case "Model":
            from ivx.models import model as module
        case "Comparison":
            from ivx.analyses.compare import result as module
        case "Exchange":
            from ivx.analyses.compare import exchange as module
        case "IvxError":
            from ivx import errors as module
        case _:
            return _analysis(name)
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*_public(), "__version__"]


def _analysis(name: str) -> Any:
    """The function of an analysis, or the type of its result."""
    # A module that is not imported yet is asked for here first: it is no analysis, and may be on its registry's way.
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is None:
        from ivx.analyses.registry import ANALYSES

        for analysis in ANALYSES:
            if name == analysis.kind:
                return analysis.function
            if name[0].isupper() and name == analysis.saved.result.__name__:
                return analysis.saved.result
    raise AttributeError(f"module 'ivx' has no attribute {name!r}")


def _public() -> list[str]:
    """Every public name: the functions of all analyses and the types of their results, and what no registry lists."""
    from ivx.analyses.registry import ANALYSES

    kinds = {name for analysis in ANALYSES for name in (analysis.kind, analysis.saved.result.__name__)}
    return sorted(kinds.union(_OTHERS))
