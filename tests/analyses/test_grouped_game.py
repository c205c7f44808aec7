"""The game beyond ten blocks: groups first, then the blocks of those that matter, every row equal to plain hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from transformers import AutoTokenizer

import ivx
from ivx.analyses.game import GAME
from ivx.analyses.game.compute import cost_of
from ivx.analyses.game.players import EXACT, MOST, blocks_alone, matter, name, opened, partitions, seen_in, told
from ivx.analyses.game.result import DOUBLINGS, SETTLED, blocks_of, played
from ivx.analyses.game.saved import blocks_in
from ivx.analyses.game.text import text_of
from ivx.errors import Cancelled, IvxError
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from tests.analyses.test_game import by_hand, linear_model
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"


def deep(layers: int) -> Model:
    return random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=layers, check=False)


@pytest.mark.parametrize("layers", [1, 10, 11, 12, 17, 30, 48, 80])
def test_partitions_cover_every_block_once_and_each_refines_the_one_before(layers: int) -> None:
    steps = partitions(layers)
    for players in steps:
        assert [i for player in players for i in player] == list(range(layers))
    assert steps == (blocks_alone(layers),) if layers <= EXACT else [len(s) for s in steps] == [4, 8]
    for coarse, fine in zip(steps, steps[1:], strict=False):
        sets = [set(blocks_of(played(ivx_request(), players=p)[0], p)) for p in (coarse, fine)]
        assert sets[0] < sets[1]


def ivx_request() -> Any:
    return GAME.request("x", TASK)


def test_the_largest_groups_are_opened_until_they_hold_most() -> None:
    *_, groups = partitions(30)
    assert [name(g) for g in groups[:2]] == ["L0–3", "L4–7"]
    assert matter(groups, [0, 5, 0, 0, 0, 0, 0, 0]) == (1,)
    assert matter(groups, [0, 3, 0, -3, 0, 0, 0, 0.1]) == (1, 3)
    assert len(opened(groups, matter(groups, [1] * 8))) <= MOST
    assert matter(groups, [0] * 8) == () == matter(groups, [float("nan")] * 8)
    *_, wide = partitions(80)
    assert len(opened(wide, matter(wide, [9] + [1] * 7))) == 17, "one is opened, however many blocks it holds"
    assert matter(blocks_alone(8), [1.0] * 8) == ()
    assert told(blocks_alone(4)) == "" and "L0–3" in told(groups)


def test_a_deep_game_is_played_coarse_to_fine_and_every_row_is_what_hooks_give() -> None:
    model, seen = deep(30), []
    found = ivx.game(model, TASK, samples=2, permutations=4, on_progress=lambda r, *of: seen.append((r, *of)))
    shapes = list(dict.fromkeys(len(r.players) for r, *_ in seen))
    assert shapes[:3] == [0, 4, 8] and 8 < shapes[-1] == len(found.players) <= MOST
    first = next(r for r, *_ in seen if r.players)
    each = 2 + len(found.samples.control)
    assert first.table.num_rows <= 2 + 16 * each, "the first picture needs sixteen coalitions"
    assert len(first.shapley()) == 4 and len(first.interactions()) == 6
    assert all(done <= total for _, done, total in seen) and seen[-1][1] == seen[-1][2]
    told = {"effect": found.samples.rows, "control": found.samples.control}
    rows = found.table.filter(pc.field("role") != "told").to_pylist()
    keys = [(r["role"], r["patch"], r["sample"]) for r in rows]
    assert len(set(keys)) == len(keys)
    for row in [rows[k] for k in np.random.default_rng(0).permutation(len(rows))[:6]]:
        sample, given = found.samples.rows[row["sample"]], told[row["role"]][row["sample"]]
        blocks = blocks_in(row["patch"], layers=30)
        logits = by_hand(model.hf, list(given.source), list(sample.target), blocks, found.position)
        assert row["logit"] == pytest.approx(float(logits[sample.answer_id]), abs=1e-6)
    assert sum(v.value for v in found.shapley()) == pytest.approx(found.values()[:, -1].mean())
    agreed = found.halves()
    assert agreed is not None and (agreed[0] >= SETTLED or len(found.orders) == 4 * 2**DOUBLINGS)  # type: ignore[arg-type]
    again = GAME.saved.read(found.request, GAME.saved.write(found) | {"layers": 30}, found.table, {})
    assert again.players == found.players and np.array_equal(again.sets, found.sets)
    assert found.note() in text_of(found.summary()) and "read together" in found.note()
    assert found.laid().rows == found.names and not found.laid().layers


def test_a_deep_game_goes_on_where_it_was_cut_short() -> None:
    model, last = deep(12), []
    asked: dict[str, Any] = {"samples": 3, "permutations": 4}
    whole = ivx.game(model, TASK, **asked)

    def stop(result: Any, done: int, total: int) -> None:
        last.append(result)
        if done > 150:
            raise Cancelled

    with pytest.raises(Cancelled):
        ivx.game(model, TASK, **asked, on_progress=stop)
    known, new = last[-1].table, []
    found = GAME.compute(model, whole.request, known=known, on_progress=lambda r, d, t: new.append((d, t)))
    assert new[0][0] > 150 and new[-1][0] == new[-1][1]
    assert found.table.slice(0, known.num_rows).equals(known), "what is known stays"
    assert found.table.num_rows == whole.table.num_rows and found.players == whole.players
    assert found.values() == pytest.approx(whole.values(), abs=1e-12)


def test_a_game_of_random_orders_over_all_blocks_is_still_read() -> None:
    """What was stored before groups were players: its rows split every group."""
    players = blocks_alone(12)
    sets, _ = played(GAME.request("x", TASK, permutations=4), players=players)
    assert seen_in(blocks_of(sets, players), 12) == players
    *_, groups = partitions(12)
    assert seen_in(blocks_of(np.arange(256), groups), 12) == groups
    with pytest.raises(IvxError, match="coalitions of 12 blocks"):
        blocks_in("kv.12@0~-1", layers=12)


def test_groups_add_up_on_a_linear_model() -> None:
    linear = ivx.game(linear_model(14), TASK, samples=2, permutations=4)
    assert max(abs(v.value) for v in linear.interactions().values()) < 1e-9
    assert linear.additivity() == pytest.approx(1, abs=1e-9)


def test_the_cost_is_told_before() -> None:
    for layers in (3, 30):
        model = deep(layers)
        request = GAME.request("x", TASK, samples=2, permutations=4)
        cost = cost_of(model, request)
        found = GAME.compute(model, request)
        ran = found.table.num_rows - 2
        assert cost.rows == ran if layers == 3 else 0.2 < cost.rows / ran < 2
        assert cost.seconds > 0 and cost.passes >= 1 and cost.memory_bytes > 0
