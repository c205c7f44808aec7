"""Positions by role: every name means the token that stands in its place, whatever stands around a query."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import ivx
from ivx.errors import IvxError
from ivx.patching.positions import columns_of, position_of, source_columns, taken, target_roles
from ivx.tasks import catalogue
from ivx.tasks.samples import build
from ivx.tasks.way import Way
from ivx.tasks.wordings import drawn
from ivx.vocabulary import POSITION_WORDS, SOURCE_WORDS
from tests.support.random_models import random_model
from tests.support.tokenizers import decoded, tokenizer

TASK = "english:animal/colour"
CHAT = "s {% for m in messages %}user Answer: {{ m.content }}\n{% endfor %}assistant:"
WAYS = {
    "prompt": (Way(), {"first": "Animal", "field": ":", "mark": ".", "cue": "Answer", "last": ":"}),
    "chat": (Way("chat"), {"first": "s", "field": ":", "mark": ".", "cue": "Answer", "last": ":"}),
    "lines": (
        Way(template="### Input\n{query}\n\n### Answer word=\n"),
        {"first": "###", "field": "\n", "mark": "\n\n", "cue": "word", "last": "\n"},
    ),
    "short": (Way(template="Q: {query}="), {"first": "Q", "field": ":", "mark": "=", "last": "="}),
    "query": (Way("query"), {}),
}


def rows_of(kind: str, way: Way) -> tuple[Any, Any]:
    tok = tokenizer(kind, size=4_000)
    tok.chat_template = CHAT
    return tok, build(catalogue.find(TASK), tok, samples=6, way=way).rows


@pytest.mark.parametrize("kind", ["gpt2", "bos"])
@pytest.mark.parametrize("way", WAYS)
def test_a_role_is_the_token_in_its_place(kind: str, way: str) -> None:
    asked, wanted = WAYS[way]
    tok, rows = rows_of(kind, asked)
    for row in rows:
        roles = target_roles(row)
        found = {name: decoded(tok, row.target[at]) for name, at in roles.items()}
        begin, end = row.query_span
        assert roles["query"] == begin and roles["last"] == -1
        for name, text in wanted.items():
            here = found[name]
            assert here == text or here.strip() == text or (text.startswith(here) or here in text), (name, here)
        if "cue" in roles:  # the last of its tokens, behind the query and in front of what ends the prompt
            behind = decoded(tok, row.target[end : roles["cue"] + len(row.target) + 1])
            assert behind.endswith(wanted["cue"])
        assert ("mark" in roles) == (end < len(row.target)) and ("field" in roles) == (begin > row.first)
    assert set(target_roles(rows[0])) >= set(wanted)


def test_several_roles_may_be_one_token_and_a_role_may_be_lacking() -> None:
    _, short = rows_of("bos", WAYS["short"][0])
    assert position_of("mark", short) == position_of("last", short) == -1
    with pytest.raises(IvxError, match="no cue: no word stands behind their queries; choose another .* such as first"):
        position_of("cue", short)
    _, bare = rows_of("bos", WAYS["query"][0])
    assert position_of("query", bare) == position_of("first", bare) == 1
    for name in ("field", "mark", "cue"):
        with pytest.raises(IvxError, match=f"these bare prompts have no {name}"):
            position_of(name, bare)


def test_source_roles_are_counted_from_the_phrase_and_the_ends() -> None:
    tok, rows = rows_of("bos", Way())
    for row in rows:
        found = {name: taken(name, row) for name in SOURCE_WORDS}
        assert found["t_inst"] == len(row.source) - 1 and found["keyword"] == row.keyword
        assert found["before"] == found["keyword"] - 1 and found["first"] == 1
        phrase = row.instruction.text[slice(*row.instruction.phrase)]
        assert phrase.endswith(decoded(tok, row.source[found["keyword"]]).strip())
    for name in SOURCE_WORDS:
        (column,) = source_columns(rows, name)
        places = [column.position if isinstance(column.position, int) else None for _ in rows]
        assert all(p is None or len(r.source) + p == taken(name, r) for p, r in zip(places, rows, strict=True))
    wordings, _ = drawn([catalogue.find(TASK).task, catalogue.find(TASK).contrast], tok, each=12, families=2,
                        position="before")  # fmt: skip
    keyed, _ = drawn([catalogue.find(TASK).task, catalogue.find(TASK).contrast], tok, each=12, families=2,
                     position="keyword")  # fmt: skip
    assert [w.ids for w in wordings] == [w.ids[:-1] for w in keyed]


def test_a_phrase_that_begins_the_instruction_has_nothing_before_it() -> None:
    _, rows = rows_of("bos", Way())
    with pytest.raises(IvxError, match="begins with its keyword, so no token stands before it: use keyword"):
        taken("before", replace(rows[0], keyword=rows[0].first))
    with pytest.raises(IvxError, match="so there is no keyword: use t_inst"):
        taken("before", replace(rows[0], keyword=None))


MODEL = random_model("gpt2", tokenizer=tokenizer("bos"))


@pytest.mark.parametrize("position", POSITION_WORDS)
def test_a_map_at_a_role_is_the_map_at_its_token(position: str) -> None:
    asked: dict[str, Any] = {"samples": 3, "sites": ("resid_post",), "controls": ("task",)}
    found = ivx.effects(MODEL, TASK, position=position, source_token="before", **asked)
    rows = found.samples.rows
    (column,) = found.maps["resid_post"]
    assert column in columns_of(MODEL, rows) or position == "last"
    for row in rows:
        assert int(column.position) % len(row.target) == target_roles(row)[position] % len(row.target)
    again = ivx.effects(MODEL, TASK, position=str(column.position), source_token="before", **asked)
    assert [c.value for c in again.cells("resid_post")] == [c.value for c in found.cells("resid_post")]
    scanned = ivx.scan(MODEL, TASK, position=position, source_token="before", **asked)
    assert [c.value for c in scanned.cells("resid_post")] == pytest.approx(
        [c.value for c in found.cells("resid_post")], abs=1e-4
    )


@pytest.mark.parametrize("position", ["field", "mark", "cue"])
def test_the_told_run_is_disturbed_at_the_like_token(position: str) -> None:
    found = ivx.effects(MODEL, TASK, position=position, samples=3, sites=("resid_post",), direction="zero")
    (column,) = found.maps["resid_post"]
    tok = MODEL.tokenizer
    for row in found.samples.rows:
        back = target_roles(row)[position] % len(row.target) - len(row.target)
        here = column.position if isinstance(column.position, int) else row.query_span[0] - 1 - len(row.target)
        assert here == back or position == "field"
        assert decoded(tok, row.instructed[here]) == decoded(tok, row.target[back])


def test_every_request_takes_the_roles_and_the_game_all_but_the_last() -> None:
    model = "tiny-sft"
    few: dict[str, Any] = {"samples": 4}
    played = ivx.game(model, "animal/colour", position="mark", source_token="before", **few)
    assert played.position == position_of("mark", played.samples.rows)
    with pytest.raises(IvxError, match="position 'last' is not known"):
        ivx.game(model, "animal/colour", position="last", **few)
    pairs = ivx.interactions(model, "animal/colour", position="cue", source_token="first", controls=(), **few)
    at = position_of("cue", pairs.samples.rows)
    assert all(f"@{at}~-1" in patch for patch in set(pairs.table["patch"].to_pylist()) if patch)
    theirs = ivx.vectors(model, "animal/colour", source_token="before", **few)
    moved = ivx.transplant(model, "animal/colour", vectors=theirs, position="field", source_token="before", **few)
    assert moved.cells("contrast")
    with pytest.raises(IvxError, match="demonstrations have no task phrase"):
        ivx.effects(model, "animal/colour", source_token="before", demonstrations=3)
