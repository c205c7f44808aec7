"""Texts of a request's samples: those that its patched rows begin, and whose tokens its table holds."""

from __future__ import annotations

import pytest

import ivx
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.game.request import GameRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.texts.compute import texts
from ivx.analyses.texts.request import TextRequest
from ivx.errors import IvxError
from ivx.request import Request
from ivx.store.store import Store


@pytest.fixture(scope="module")
def model() -> ivx.Model:
    return ivx.load("tiny-sft")


@pytest.mark.parametrize(
    ("request_", "role"),
    [
        (EffectsRequest("tiny-sft", "animal/colour", sites=("resid_post",), position="first", samples=6), "effect"),
        (EffectsRequest("tiny-sft", "animal/colour", sites=("resid_post",), position="first", samples=6), "control"),
        (EffectsRequest("tiny-sft", "animal/colour", sites=("z",), samples=6), "effect"),
        (EffectsRequest("tiny-sft", "animal/colour", sites=("mlp_out",), direction="mean", samples=6), "effect"),
        (EffectsRequest("tiny-sft", "animal/colour", sites=("resid_post",), direction="noise", samples=6), "effect"),
        (InteractionsRequest("tiny-sft", "animal/colour", samples=6), "effect"),
    ],
)
def test_a_text_begins_with_the_top_token_of_its_row(model: ivx.Model, request_: Request, role: str) -> None:
    asked = {k: v for k, v in vars(request_).items() if k not in ("checkpoint", "task", "dtype", "device", "adapter")}
    result = getattr(ivx, request_.kind)(model, request_.task, **asked)
    rows = [row for row in result.table.to_pylist() if row["role"] == role]
    patches = sorted({row["patch"] for row in rows if row["patch"]})
    for patch in (patches[0], patches[len(patches) // 2], patches[-1]):
        found = texts(model, request_, patch=patch, samples=(4, 0, 5), role=role)
        assert [text.sample for text in found] == [4, 0, 5]
        for text in found:
            for named, said in (("", text.before), (patch, text.after)):
                row = next(r for r in rows if r["patch"] == named and r["sample"] == text.sample)
                assert said.startswith(model.tokenizer.decode([row["top_ids"][0]]))


def test_a_live_request_answers_the_same(model: ivx.Model) -> None:
    of = EffectsRequest("tiny-sft", "animal/colour", samples=6)
    asked = TextRequest.for_cell(of, "resid_post.3@0~-1", (1, 2))
    assert asked.checkpoint == "tiny-sft" and hash(asked) == hash(TextRequest.for_cell(of, asked.patch, (1, 2)))
    found = asked.answered(model, Store(), beat=lambda: None)
    assert found == texts(model, of, patch="resid_post.3@0~-1", samples=(1, 2))
    assert any(text.before != text.after for text in found)


def test_what_has_no_text_is_refused(model: ivx.Model) -> None:
    of = EffectsRequest("tiny-sft", "animal/colour", samples=3)
    with pytest.raises(IvxError, match="no sample 3"):
        texts(model, of, patch="resid_post.3@0~-1", samples=(3,))
    with pytest.raises(IvxError, match="no rows of 'random'"):
        texts(model, of, patch="resid_post.3@0~-1", samples=(0,), role="random")
    with pytest.raises(IvxError, match="patches no prompt"):
        texts(model, GameRequest("tiny-sft", "animal/colour"), patch="kv.1@0~-1", samples=(0,))
