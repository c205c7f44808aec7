"""Where paths of high rank begin, by slot: counted by hand from what a run keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoTokenizer

import ivx
from ivx.analyses.pathways import PATHWAYS
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.pathways.saved import SAVED
from ivx.analyses.pathways.slots import keys_of
from ivx.errors import IvxError
from ivx.models.registry import EMBEDDED
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
pytestmark = pytest.mark.surrogate


@pytest.fixture(scope="module")
def found() -> Pathways:
    asked = {"samples": 4, "traced": 2, "paths": 10, "published": True, "ablation": "none", "wording": 0}
    model = random_model("olmo2", tokenizer=TOKENIZER, check=False)
    half = model.hf.config.vocab_size // 2  # no path of random weights ranks an answer in the first 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ivx.engine.linear.published.RANK", half)
        return ivx.pathways(model, "tiny:animal/colour", **asked)  # type: ignore[arg-type]


def test_starts_are_those_of_the_listed_paths(found: Pathways) -> None:
    starts = found.starts()
    assert [one.key for one in starts] == [slot.key for slot in found.slots("here")]
    by_hand: dict[str, list[float]] = {one.key: [0.0, 0.0] for one in starts}
    for k, traced in enumerate(found.found.traced):
        keys = keys_of(found.samples.rows[traced.item], told=True, apart=True)
        from_tokens = [path for path in traced.paths if path.layer is None]
        for path in from_tokens:
            by_hand[keys[path.start]][k] += 1 / len(from_tokens)
    for one in starts:
        assert one.share == pytest.approx(np.mean(by_hand[one.key]), abs=1e-12) and one.samples == 2
        assert one.low <= one.share <= one.high and one.times_low <= one.times <= one.times_high
    assert sum(one.share for one in starts) == pytest.approx(1) == sum(one.expected for one in starts)
    assert starts[0].expected == max(one.expected for one in starts), "most paths begin at the front"


def test_published_starts_sum_to_what_counts(found: Pathways) -> None:
    starts = found.starts("published")
    kept = sum(round(one.kept * sum(b.listed for b in begins)) for one, begins in zip(
        found.found.fidelity.published, found.found.starts, strict=True
    ))  # fmt: skip
    assert sum(one.count for one in starts) == kept > 0
    assert all(sum(b.paths for b in begins) == found.heads**found.layers for begins in found.found.starts)


def test_starts_are_told_kept_and_checked(found: Pathways) -> None:
    assert "begin" in PATHWAYS.words.text(found.summary())
    told = {**SAVED.write(found), "layers": found.layers}
    again = SAVED.read(found.request, told, found.table, found.receipt)
    assert again.starts("published") == found.starts("published")
    before = {**told, "found": {key: value for key, value in told["found"].items() if key != "starts"}}
    older = SAVED.read(found.request, before, found.table, found.receipt)
    assert older.starts("published") == () and older.starts() == found.starts()
    wrong = tuple(tuple(one._replace(ranked=one.listed + 1) for one in begins) for begins in found.found.starts)
    with pytest.raises(IvxError, match="starts"):
        SAVED.check(replace(found, found=replace(found.found, starts=wrong)))
