"""The controls for a way of asking: what tells the task, in which prompt, and in which spelling the answer is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ivx.errors import TaskError
from ivx.numeral import index_of
from ivx.request import WAY
from ivx.tasks.prompt import FORMATS
from ivx.tasks.sample import Sample
from ivx.tasks.spelling import ALONE, AUTO, SPELLINGS, SUM, words
from ivx.tasks.way import MAX_TEMPLATE, MOST_SHOWN, Way
from ivx.ui.kit import address
from ivx.ui.kit.choices import chosen, counted

TOLD = {"0": "an instruction", "4": "4 demonstrations", "8": "8 demonstrations", "16": "16 demonstrations"}
SPELLED = {AUTO: "as the model writes it", SUM: "sum over spellings"} | {
    name: words(name) for name in (*SPELLINGS, ALONE)
}
FORMS = {
    "prompt": "prompt: query and cue",
    "query": "query: the bare word",
    "filler": "filler: a stop and word",
    "chat": "chat: a user’s turn",
}
WORDED = {"": "one drawn for each sample"} | {str(k): f"number {k} for all samples" for k in range(10)}
INITIAL = {"by": "0", "format": "prompt", "spelling": AUTO, "template": "", "system": "", "worded": ""}
"""The choices at first, by the keys of their controls."""
PLAIN = {"asked": ""}
"""Beside them in an address: `plain` where these choices are asked for in place of a recommended way."""

assert set(FORMS) == set(FORMATS)


def asking(key: str, default: int) -> dict[str, Any]:
    """Draw the controls, with that of the number of samples; returns the fields of a request."""
    told = way()
    return told | {"samples": counted(key, "Samples", default, low=10, high=2_000)}


def taken(source: str, fields: dict[str, Any]) -> str:
    """The source token of a request: demonstrations have no task phrase, and their last token is what is taken."""
    return "t_inst" if fields["demonstrations"] and source in ("keyword", "before", "all") else source


def way_of(fields: dict[str, Any]) -> Way:
    """The way of asking in a request's fields; raises `TaskError` for one that cannot be."""
    return Way(*(fields[name] for name in WAY))


def fields_of(way: Way) -> dict[str, Any]:
    """The request's fields that mean a way of asking; `way_of` is the inverse."""
    told = (way.form, way.template, way.system, way.demonstrations, way.spelling, way.wording)
    return dict(zip(WAY, told, strict=True))


def read_by(sample: Sample, text: Callable[[int], str]) -> dict[str, str]:
    """A sample's answer and contrast as they are shown: of a sum over spellings with its tokens and their ids."""
    shown = {"answer": (sample.answer, sample.answer_ids), "contrast": (sample.contrast, sample.contrast_ids)}
    return {
        name: f"{word} (sum of {', '.join(f'{text(i)} {i}' for i in ids)})" if ids else word
        for name, (word, ids) in shown.items()
    }


def chosen_by(way: Way) -> dict[str, str]:
    """What the controls must be set to, to ask in this way: values by key, where they differ from `INITIAL`."""
    told = {
        "by": str(way.demonstrations),
        "format": way.form,
        "spelling": way.spelling,
        "template": way.template,
        "system": way.system,
        "worded": "" if way.wording is None else str(way.wording),
    }
    return {key: value for key, value in told.items() if value != INITIAL[key]}


def said(way: Way) -> str:
    """A way of asking in words."""
    told = [
        f"{way.demonstrations} demonstrations" if way.demonstrations else "an instruction",
        "" if way.form == "prompt" else FORMS[way.form],
        "a template of one’s own" if way.template else "",
        "with a system’s turn" if way.system else "",
        "" if way.spelling == AUTO else f"answers {SPELLED[way.spelling]}",
        "" if way.wording is None else f"all by wording {way.wording}",
    ]
    return ", ".join(filter(None, told))


def told_by_instruction(way: Way) -> Way:
    """A way of asking for a page that only instructions are told on: without the demonstrations of one that has some,
    and so without the template that was made for them."""
    return Way(spelling=way.spelling) if way.demonstrations else way


def held() -> Way:
    """The way that the session's controls or the address name, drawn or not; the default where that cannot be."""
    now = {key: address.from_url(key, first) for key, first in INITIAL.items()}
    count = index_of(now["by"], below=MOST_SHOWN + 1) or 0
    own = now["format"] not in ("query", "filler")
    system = now["system"].strip() if now["format"] == "chat" else ""
    try:
        worded = None if count else index_of(now["worded"])
        return Way(now["format"], now["template"].strip() if own else "", system, count, now["spelling"], worded)
    except TaskError:
        return Way()


def way(*, open: bool = False, instructed: bool = False) -> dict[str, Any]:
    """Draw the controls without a number of samples.

    Args:
        open: show the texts that are folded elsewhere.
        instructed: leave out what only demonstrations or a bare word can ask, for a page of whole instructed prompts.
    """
    left, right = st.columns(2, gap="small")
    with left:
        told = "0" if instructed else _chosen_told()
    with right:
        forms = {name: text for name, text in FORMS.items() if not instructed or name in ("prompt", "chat")}
        form = chosen("format", "Target format", forms, "prompt")
    spelling = chosen(
        "spelling",
        "Answer’s spelling",
        SPELLED,
        AUTO,
        help="Which token counts as the answer. By default the spelling that the model gives the largest share when "
        "told, on other queries than the measured ones. The sum adds the probabilities of all spellings’ first tokens, "
        "without those that may begin the contrast, too; the answer is followed where any of them is the likeliest.",
    )
    template = _text(
        "template",
        "Template of your own",
        "{instruction} {demonstrations} {field}: {query}. Answer:",
        open,
        disabled=form in ("query", "filler"),
    )
    system = _text("system", "System’s turn", "You answer with one word.", open, disabled=form != "chat")
    worded = "" if instructed else _chosen_wording(int(told))
    return {
        "target_format": form,
        "demonstrations": int(told),
        "spelling": spelling,
        "template": "" if form in ("query", "filler") else template,
        "system": system if form == "chat" else "",
        "wording": index_of(worded) if worded else None,
    }


def _chosen_wording(shown: int) -> str:
    """One wording for all samples, or one for each; demonstrations have none."""
    found = chosen(
        "worded",
        "Wording of the instruction",
        _every_worded(),
        "",
        disabled=shown > 0,
        help="One wording for all samples is what the paper asks by: its effect is that wording’s, not the task’s.",
    )
    return "" if shown else found


def _every_worded() -> dict[str, str]:
    """The wordings to choose from; another number may have been asked for."""
    now = index_of(address.from_url("worded", ""), below=10_000)
    return WORDED | ({str(now): f"number {now} for all samples"} if now is not None else {})


def _chosen_told() -> str:
    return chosen(
        "by",
        "Task told by",
        _told(),
        "0",
        help="Demonstrations are solved queries; the vector is then the state of their last token, where the model is "
        "about to answer a query of its own.",
    )


def _told() -> dict[str, str]:
    """What a task can be told by; another number of demonstrations than the usual ones may have been asked for."""
    count = index_of(address.from_url("by", "0"), below=MOST_SHOWN + 1)
    return TOLD | ({str(count): f"{count} demonstrations"} if count else {})


def _text(key: str, label: str, placeholder: str, open: bool, **told: Any) -> str:
    """A text of several lines."""
    address.hold(key, "")
    height = 100 if open else 68
    return str(
        st.text_area(label, key=key, placeholder=placeholder, height=height, max_chars=MAX_TEMPLATE, **told)
    ).strip()
