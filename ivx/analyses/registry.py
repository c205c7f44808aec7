"""The registry: every kind of analysis, once. Whatever depends on the kind of a run iterates this list, or asks it.

What was kept of a run may come from a stranger's archive, so reading it back takes nothing on trust: every value's type
and size is checked, and what does not fit is refused by one sentence.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Analysis, Json, Result
from ivx.analyses.behaviour import BEHAVIOUR
from ivx.analyses.bench import BENCH
from ivx.analyses.effects import EFFECTS, SCAN
from ivx.analyses.erasure import ERASURE
from ivx.analyses.function import FUNCTION
from ivx.analyses.game import GAME
from ivx.analyses.interactions import INTERACTIONS
from ivx.analyses.lens import LENS
from ivx.analyses.mechanism import MECHANISM
from ivx.analyses.mediation import MEDIATION
from ivx.analyses.pathways import PATHWAYS
from ivx.analyses.place import PLACE
from ivx.analyses.separability import SEPARABILITY
from ivx.analyses.transfer import TRANSFER
from ivx.analyses.transplant import TRANSPLANT
from ivx.analyses.variance import VARIANCE
from ivx.analyses.vectors import VECTORS
from ivx.errors import IvxError
from ivx.formats.checks import keys, refuse, text, typed, whole
from ivx.patching.gate import with_following
from ivx.request import BaseRequest

ANALYSES: tuple[Analysis[Any, Any], ...] = (
    BEHAVIOUR,
    PLACE,
    MEDIATION,
    VARIANCE,
    EFFECTS,
    SCAN,
    INTERACTIONS,
    GAME,
    SEPARABILITY,
    ERASURE,
    PATHWAYS,
    MECHANISM,
    TRANSFER,
    VECTORS,
    TRANSPLANT,
    FUNCTION,
    LENS,
    BENCH,
)
MAX_NAMES = 100
"""Most names in one list of a request."""


def analysis_of(kind: str) -> Analysis[Any, Any]:
    """The analysis of this name; raises `IvxError` with the nearest name where there is none."""
    known = {analysis.kind: analysis for analysis in ANALYSES}
    if kind not in known:
        near = get_close_matches(kind, known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise IvxError(f"there is no analysis {kind[:40]!r}: {meant}")
    return known[kind]


def context(found: Result[Any]) -> Json:
    """Everything in a result but its rows and receipt, ready for JSON; `restored` is the inverse."""
    return {"layers": found.layers, **analysis_of(found.request.kind).saved.write(found)}


def restored(asked: Json, context: Json, table: pa.Table, receipt: Json) -> Any:
    """The result that `context` was made from, with its rows and receipt.

    Args:
        asked: as the store keeps it: `{"kind": …, "request": {…}, "checkpoint": {…}}`.

    Raises:
        IvxError: a value of `asked` or `context` is missing, of another type, or out of bounds.
    """
    request = request_of(asked)
    saved = analysis_of(request.kind).saved
    if "others" in saved.context:  # runs were kept without them before there were any
        context = {"others": [], "counter": [], "unpaired": []} | context
    keys(context, "layers", *saved.context, what="context")
    return saved.read(request, context, table, with_following(receipt, table))


def checked(found: Any) -> Any:
    """The result itself; raises `IvxError` where no computation can have returned its rows and receipt."""
    analysis_of(found.request.kind).saved.check(found)
    return found


def named_by(asked: Any) -> Analysis[Any, Any]:
    """The analysis that was asked for; raises `IvxError` where there is no such analysis."""
    kinds = {analysis.kind: analysis for analysis in ANALYSES}
    found = kinds.get(str(asked.get("kind"))) if isinstance(asked, dict) else None
    if found is None or not isinstance(asked.get("request"), dict):
        refuse("kind", f"a request of the kind {' or '.join(kinds)}")
    return found


def request_of(asked: Any) -> BaseRequest:
    """The request, its types checked; raises `IvxError`."""
    kind = named_by(asked).request
    told = asked["request"]
    if isinstance(told, dict):  # fields that a run made before them does not name have their default
        later = {field.name: field.default for field in fields(kind) if field.name in (*kind.later(), *kind.same)}
        told = later | told
    found = typed(kind, told, "request")
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
