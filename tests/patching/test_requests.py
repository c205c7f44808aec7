"""Requests: what is asked is what the run is named by."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

import ivx
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.game.request import GameRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.lens.request import LensRequest
from ivx.analyses.mechanism.request import MechanismRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.registry import ANALYSES
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.transfer.request import TransferRequest
from ivx.analyses.variance.request import VarianceRequest
from ivx.errors import IvxError
from ivx.request import BaseRequest

CHANGED = {
    "against": "animal/colour",
    "position": "2",
    "source_token": "keyword",
    "target_format": "prompt",
    "samples": 41,
    "template": "{query} is",
    "system": "Be brief.",
    "demonstrations": 3,
    "spelling": "plain",
    "layers": "0,4-17",
    "seed": 1,
    "dtype": "float64",
    "device": "cpu",
    "adapter": "here",
    "sites": ("attn_out",),
    "direction": "noise",
    "controls": ("random",),
    "over": "components",
    "patch": "delta",
    "order": 3,
    "permutations": 9,
    "component": "mlp_out",
    "components": ("z",),
    "pairs": True,
    "wordings": 61,
    "folds": 4,
    "repeats": 2,
    "projections": ("lda",),
    "of": "logit",
    "wording": 2,
    "patch_layer": 3,
    "paths": 9,
    "traced": 9,
    "ablation": "zero",
    "edge_check": True,
    "published": True,
    "vectors": "0123456789ab",
    "matched": True,
    "heads": 5,
    "ranking": "contrast",
    "layer": 3,
    "place": "every",
    "choosing": 6,
    "every": 2,
    "readers": "heads",
    "way": "patch",
    "texts": ("look at it .",),
    "prompt": "the noun .",
    "source": "the verb .",
    "take": "3@0",
    "put": "1@1",
    "chat": True,
    "ways": ("query",),
    "tokens": 3,
    "window": 2,
    "span": 2,
    "restored": True,
    "through": "positions",
    "top": 9,
    "draws": 12,
    "fill": "zero",
    "rankings": ("eap",),
}
APART = {"checkpoint": "elsewhere", "task": "other", "tasks": ("others",), "weights": "stream"}
"""They enter a run's name by what they are, not by what they are called; or not at all, for they change no number."""
NEEDED: dict[str, Any] = {
    "task": "animal/colour",
    "tasks": ("all",),
    "vectors": "ba9876543210",
    "layer": 2,
    "prompt": "the animal .",
}
"""What a request cannot do without."""
REFUSED: dict[type[BaseRequest], set[str]] = {
    PathwaysRequest: {"demonstrations"},
    ScanRequest: {"demonstrations"},
    MechanismRequest: {"demonstrations"},
    VarianceRequest: {"demonstrations", "wording"},
    EffectsRequest: {"window", "span"},
    InteractionsRequest: {"restored", "heads"},
}
"""What some refuse, or not at the sites that are asked here."""
KINDS = [analysis.request for analysis in ANALYSES]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_changes_the_run(kind: type[BaseRequest]) -> None:
    known = {field.name for field in fields(kind)}
    needed = NEEDED | ({"heads": ""} if kind is EffectsRequest else {})
    asked: Any = kind("tiny-sft", **{name: value for name, value in needed.items() if name in known})
    changed = CHANGED | ({"position": "keyword"} if kind is SeparabilityRequest else {})
    if kind is FunctionRequest:
        changed |= {"source_token": "1"}  # demonstrations mark no phrase
    if kind is EffectsRequest:
        changed |= {"heads": "1"}
    if kind is InteractionsRequest:
        asked = replace(asked, sites=("mlp_out",))  # a site that layers and components both have
    if kind is LensRequest:
        asked = replace(asked, source="the noun .", take="2@0", put="2@1")
    named = known - APART.keys()
    if {"system", "target_format"} <= known:
        asked = replace(asked, target_format="chat")  # only there is a system's turn
    if kind is TransferRequest:
        changed |= {"ranking": "eap", "target_format": "chat"}
    named -= REFUSED.get(kind, set())
    runs = {asked.run_id("a", "t"), asked.run_id("b", "t"), asked.run_id("a", "u")}
    runs |= {replace(asked, **{name: changed[name]}).run_id("a", "t") for name in named}
    assert len(runs) == len(named) + 3
    others = {name: other for name, other in APART.items() if name in known}
    assert asked.run_id("a", "t") == replace(asked, **others).run_id("a", "t")


def test_what_is_patched_together_or_given_back_changes_the_run() -> None:
    effects = EffectsRequest("tiny-sft", "animal/colour", sites=("resid_post",))
    pairs = InteractionsRequest("tiny-sft", "animal/colour")
    asked = [effects, replace(effects, window=2), replace(effects, span=2), pairs, replace(pairs, restored=True)]
    assert len({one.run_id("a", "t") for one in asked}) == 5


def test_analyses_of_one_kind_never_meet_another_kinds() -> None:
    assert len({kind.kind for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"over": "neurons"}, "over 'neurons' is not known"),
        ({"over": "heads"}, "heads are not at resid_post: use the sites z"),
        ({"over": "components"}, "use the sites attn_out, mlp_out"),
        ({"order": 4}, "choose 2 for pairs or 3 for triples"),
        ({"position": "all"}, "position all and over positions go together"),
        ({"over": "positions"}, "position all and over positions go together"),
        ({"position": "middle"}, "position 'middle' is not known"),
        ({"sites": ("resid",)}, "no site resid"),
        ({"samples": 0}, "choose 1 to 10,000"),
    ],
)
def test_what_cannot_be_is_one_sentence(changed: dict, told: str) -> None:
    with pytest.raises(IvxError, match=told):
        InteractionsRequest("tiny-sft", "animal/colour", **changed)


def test_the_querys_token_is_named_or_numbered() -> None:
    model = ivx.load("tiny-sft")
    asked: dict[str, Any] = {"samples": 3, "sites": ("resid_post",)}
    for run in (ivx.effects, ivx.interactions):
        named, numbered = (run(model, "animal/colour", position=at, **asked) for at in ("query", "2"))
        assert named.table.equals(numbered.table) and named.run_id != numbered.run_id
    with pytest.raises(IvxError, match="first, field, query, mark, cue or an index"):
        GameRequest("tiny-sft", "animal/colour", position="last")
