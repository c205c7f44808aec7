"""One query that cannot be measured never sinks the others; what a chat template does wrong is one sentence."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.lens.request import LensRequest
from ivx.errors import TaskError
from ivx.models.registry import EMBEDDED
from ivx.tasks import catalogue
from ivx.tasks.samples import build
from ivx.tasks.task import Pair
from ivx.tasks.turn import turn_of
from ivx.tasks.way import Way
from tests.support.tokenizers import decoded, tokenizer

FACTS = {"crow": ("black", "yes"), "pig": ("pink", "no"), "bear": ("brown", "no"), "swan": ("white", "yes")}


def pair(folder: Path, facts: dict[str, tuple[str, str]]) -> Pair:
    lines = [
        "query,answer,contrast,instruction,field",
        *(f"{q},{a},{c},Name its colour.,Animal" for q, (a, c) in facts.items()),
    ]
    (folder / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    return catalogue.find(str(folder / "mine.csv"))


def merging(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    """A tokenizer that merges these pairs of tokens, too."""
    made = json.loads(tokenizer("gpt2").backend_tokenizer.to_str())
    for one, other in merges:
        made["model"]["merges"].append([one, other])
        made["model"]["vocab"].setdefault(one + other, len(made["model"]["vocab"]))
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(made)), bos_token="<s>")


@pytest.mark.parametrize(
    ("query", "answers", "told"),
    [
        ("fox jr.", ("red", "no"), r"1 query left out: they merge with the tokens around them \(fox jr\.\)"),
        ("fox", ("no way", "no"), r"1 query left out: both of their answers begin with the same token \(fox\)"),
    ],
)
def test_a_query_that_does_not_fit_is_left_out_by_name(
    tmp_path: Path, query: str, answers: tuple[str, str], told: str
) -> None:
    tok = merging((".", "."))
    built = build(pair(tmp_path, {**FACTS, query: answers}), tok, samples=5)
    assert {s.query for s in built.rows} == set(FACTS)
    assert any(re.fullmatch(told, warning) for warning in built.warnings), built.warnings
    # The place of one that is left out is filled: as many as were asked for are measured.
    assert len(build(pair(tmp_path, {**FACTS, query: answers}), tok, samples=4).rows) == 4


@pytest.mark.parametrize(
    ("query", "answers"),
    [("пёс", ("black", "yes")), ("wolf", ("anthracite", "yes")), ("wolf", ("black", "perhaps"))],
)
def test_words_that_the_tokenizer_does_not_know_are_left_out(
    tmp_path: Path, query: str, answers: tuple[str, str]
) -> None:
    tok = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft")
    built = build(pair(tmp_path, {**FACTS, query: answers}), tok, samples=5)
    assert {s.query for s in built.rows} == set(FACTS)
    assert any("does not know a word" in warning and query in warning for warning in built.warnings)


def test_a_pair_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"2 queries left out: both of their answers .* \((crow, pig|pig, crow)\)"):
        build(pair(tmp_path, {"crow": ("no way", "no"), "pig": ("yes sir", "yes")}), tokenizer("gpt2"))


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system turn is wanted') }}{% endif %}",
        "{{ messages | sparkle }}",
        "{% for m in messages %}{{ m",
        "{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endfor %}",
        "{{ messages[0]['content'] | upper }}",
        "{{ messages[0]['content'] | replace('\\n', '') | truncate(9) }}",
        "nothing of it",
    ],
)
def test_a_chat_template_that_cannot_write_a_turn_is_one_sentence(tmp_path: Path, template: str) -> None:
    tok = tokenizer("gpt2")
    tok.chat_template = template
    with pytest.raises(TaskError, match="chat template .* leave .*out") as caught:
        build(pair(tmp_path, FACTS), tok, way=Way("chat"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("ending", "space"), [("assistant:", " "), ("<assistant>\n", ""), ("<assistant>\n\n", "")])
def test_a_turn_on_a_line_of_its_own_begins_without_a_space(tmp_path: Path, ending: str, space: str) -> None:
    tok = tokenizer("gpt2")
    tok.chat_template = "{% for m in messages %}user: {{ m.content }}\n{% endfor %}" + ending.replace(
        "\n", "{{ '\\n' }}"
    )
    for sample in build(pair(tmp_path, FACTS), tok, way=Way("chat")).rows:
        assert (space + sample.answer).startswith(decoded(tok, sample.answer_id))


def test_a_template_is_bounded_in_time_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    loops = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}{{ messages[0].content }}"
    long = "{% for a in range(90000) %}ab{% endfor %}{{ messages[0].content }}"
    for template, most, said in (
        (loops, 0.2, "took more than 0.2 seconds"),
        (long, 60, "writes more than 100,000 characters"),
    ):
        monkeypatch.setattr("ivx.tasks.turn.SECONDS", most)
        tok = tokenizer("gpt2")
        tok.chat_template = template
        with pytest.raises(TaskError, match=said):
            turn_of(tok)


def _given(tokenizer: Any) -> Any:
    return tokenizer


def test_what_a_template_writes_is_in_the_run_id() -> None:
    """As one that writes today's date: tomorrow the prompts are others, and so is the run."""
    ids = []
    for day in ("1 May", "2 May", "2 May"):
        tok = tokenizer("gpt2")
        tok.chat_template = f"Today is {day}.\n{{% for m in messages %}}user: {{{{ m.content }}}}\n{{% endfor %}}bot:"
        for request in (
            EffectsRequest("gpt2", "animal/colour", target_format="chat"),
            LensRequest("gpt2", prompt="The animal.", chat=True),
        ):
            ids.append(request.run_id("weights", request.subject("english", partial(_given, tok))))
    assert ids[0] != ids[2] == ids[4] and ids[1] != ids[3] == ids[5]
    plain = EffectsRequest("gpt2", "animal/colour")
    assert plain.subject("english", lambda: pytest.fail("no template is asked")) == plain.about("english")


def test_front_tokens_of_a_template_are_not_doubled(tmp_path: Path) -> None:
    """What is read is what the tokenizer's own `apply_chat_template` gives, whatever of them the template writes."""
    for front in ("<s>", "", "<s><s>"):
        tok = tokenizer("bos")
        tok.chat_template = front + "{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:"
        for sample in build(pair(tmp_path, FACTS), tok, way=Way("chat")).rows:
            turn = [{"role": "user", "content": f"Animal: {sample.query}. Answer:"}]
            wanted = tok.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
            assert list(sample.target) == wanted
            assert sample.first == bool(front)


def test_a_contrast_without_wordings_of_its_own_is_no_control(tmp_path: Path) -> None:
    """Told the task's own wordings, the control would be the task itself."""
    path = tmp_path / "mine.csv"
    path.write_text("query,answer,contrast,instruction\n" + "".join(f"q{k},a{k},b{k},say it\n" for k in range(6)))
    pair, spaced = catalogue.find(str(path)), tokenizer("gpt2")
    assert pair.contrast.instructions == pair.task.instructions
    with pytest.raises(TaskError, match=r"mine/contrast has no wordings of its own: .* contrast_instruction"):
        build(pair, spaced, samples=2, controls=("counter",))
    shown = build(pair, spaced, way=Way(demonstrations=2), samples=2, controls=("counter",))
    assert len(shown.counter) == 2
    path.write_text(
        "query,answer,contrast,instruction,contrast_instruction\n"
        + "".join(f"q{k},a{k},b{k},say it,say that\n" for k in range(6))
    )
    assert len(build(catalogue.find(str(path)), spaced, samples=2, controls=("counter",)).counter) == 2
