"""A result apart from its rows: what must be kept to read and draw it again, and reading it back.

`context` and `restored` are each other's inverse; each kind's own part is a module here, named as the kind. A context
may come from a stranger's archive, so `restored` takes nothing on trust: every value's type and size is checked, and
what does not fit is refused by one sentence. `checked` does the same for rows and receipt, which need it only when they
come from elsewhere.
"""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa

from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.game.request import GameRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.vectors.request import VectorsRequest
from ivx.errors import IvxError
from ivx.formats.checks import keys, refuse, text, typed, whole
from ivx.patching.table import ROWS

if TYPE_CHECKING:
    from ivx.analyses.effects.result import Effects
    from ivx.analyses.erasure.result import Erasure
    from ivx.analyses.game.result import Game
    from ivx.analyses.interactions.result import Interactions
    from ivx.analyses.pathways.result import Pathways
    from ivx.analyses.separability.result import Separability
    from ivx.analyses.transplant.result import Transplant
    from ivx.analyses.vectors.result import Vectors

    Result = Effects | Interactions | Game | Separability | Erasure | Pathways | Vectors | Transplant

Asked = (
    EffectsRequest
    | ScanRequest
    | InteractionsRequest
    | GameRequest
    | SeparabilityRequest
    | ErasureRequest
    | PathwaysRequest
    | VectorsRequest
    | TransplantRequest
)
KINDS: dict[str, type[Asked]] = {kind.kind: kind for kind in get_args(Asked)}
LONGEST = 100
"""Values in a cell of a sweep's rows."""
MAX_NAMES = 100
"""Names in one list of a request."""


def context(found: Result) -> dict[str, Any]:
    """Layers, samples or wordings, and maps or players, as JSON can hold them."""
    return {"layers": found.layers, **_form(found.request.kind).written(found)}


def restored(asked: dict[str, Any], context: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Result:
    """The result that `context` was made from, with its rows and receipt.

    Args:
        asked: as the store keeps it: `{"kind": …, "request": {…}, "checkpoint": {…}}`.

    Raises:
        IvxError: a value of `asked` or `context` is missing, of another type, or out of bounds.
    """
    request = request_of(asked)
    form = _form(request.kind)
    keys(context, "layers", *form.KEYS, what="context")
    found: Result = form.read(request, context, table, receipt)
    return found


def request_of(asked: dict[str, Any]) -> Asked:
    """The request, its types checked; raises `IvxError`."""
    kind = KINDS.get(str(asked.get("kind"))) if isinstance(asked, dict) else None
    if kind is None or not isinstance(asked.get("request"), dict):
        refuse("kind", f"a request of the kind {' or '.join(KINDS)}")
    found = typed(kind, asked["request"], "request")
    for name in (field.name for field in fields(kind)):
        match getattr(found, name):
            case tuple(names):
                if len(set(names)) < len(names) or len(names) > MAX_NAMES:
                    refuse(name, f"each name once, and at most {MAX_NAMES}")
                for one in names:
                    text(one, name)
            case bool() | None:
                pass
            case int(number):
                whole(number, name, 0, 2**63)
            case words:
                text(words, name)
    return found


def rows_of(asked: dict[str, Any]) -> tuple[pa.Schema, int]:
    """The columns of a kind's rows, and the most values in a cell of a list column; a sweep's of an unknown kind."""
    form = _form(asked["kind"]) if asked.get("kind") in list(KINDS) else None
    return getattr(form, "ROWS", ROWS), getattr(form, "LONGEST", LONGEST)


def checked(found: Result) -> Result:
    """The result itself, when its rows and receipt can be what a sweep returned; else raises `IvxError`."""
    form = _form(found.request.kind)
    if not hasattr(form, "check"):
        raise IvxError(f"a run of {found.request.kind} cannot be imported: compute it again from its checkpoint")
    form.check(found)
    return found


def _form(kind: str) -> Any:
    """The module of a kind, read when it is needed: `KEYS`, `written`, `read`, and `check` where it can be imported.

    `ROWS` and `LONGEST` stand where its rows are not a sweep's.
    """
    return import_module(f"ivx.analyses.{'effects' if kind == ScanRequest.kind else kind}.saved")
