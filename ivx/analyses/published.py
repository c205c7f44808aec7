"""As published: how the paper asks and reads, and the same question as ivx asks it, which stands beside it.

The paper tells all samples by one wording, takes the answer's token without its space, patches a bare query at its
first token with the state of the instruction's last, and reports the change of the answer's logit, tested against
nothing. (Its rank metric counts −1 past rank 1,000, and its test of pairs compares shares of 0 and 1 with 50.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

from ivx.analyses.effects.request import EffectsRequest
from ivx.engine.address import STREAM
from ivx.request import InstructionRequest

R = TypeVar("R", bound=InstructionRequest)

AS_PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "source_token": "t_inst",
        "position": "first",
        "target_format": "query",
        "template": "",
        "system": "",
        "demonstrations": 0,
        "spelling": "alone",
        "wording": 0,
    }
)
"""Fields of a request that asks as the paper does."""
METRIC = "logit"
"""The paper's main quantity."""
DIFFERENT = (
    "one wording for all samples, a bare query without its cue, the answer’s token by itself, without its space, "
    "T_inst → first token, mean change of the answer’s logit, no control and no test"
)
CORRECTED = (
    "a wording drawn for each sample, the whole prompt, the answer as the model writes it, T_inst → first token, every "
    "number beside its controls"
)


def as_published(request: R) -> R:
    """The same question, asked as the paper does."""
    return replace(request, **_known(request, dict(AS_PUBLISHED)) | _maps(request, {"controls": ()}))


def corrected(request: R) -> R:
    """The same question at the same place, asked as ivx does, with the controls that it has by itself."""
    usual = {field.name: field.default for field in fields(request) if field.name in AS_PUBLISHED}
    asked = usual | {name: AS_PUBLISHED[name] for name in ("source_token", "position")}
    return replace(request, **_known(request, asked) | _maps(request, {"controls": EffectsRequest.controls}))


def is_published(request: Any) -> bool:
    """Whether a request asks as the paper does."""
    if not isinstance(request, EffectsRequest) or request.direction != "denoise":
        return False
    return all(getattr(request, name) == value for name, value in AS_PUBLISHED.items())


def _known(request: InstructionRequest, told: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(request)}
    return {name: value for name, value in told.items() if name in names}


def _maps(request: InstructionRequest, told: Mapping[str, Any]) -> dict[str, Any]:
    """What an effect map has beside it: the stream alone is what the paper patches."""
    return {"sites": (STREAM,), **told} if isinstance(request, EffectsRequest) else {}
