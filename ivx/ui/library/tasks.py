"""The Tasks page: previews with tokens, and a user's own file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from ivx.errors import IvxError
from ivx.models import files, library
from ivx.tasks import catalogue
from ivx.tasks.label import label_of
from ivx.tasks.layouts import rephrasings
from ivx.tasks.place import FILES, named
from ivx.tasks.preview import way_of
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build
from ivx.ui.kit import address, asking, checkpoints, choices, pairs, pieces, session, visitor
from ivx.ui.library import typed

SHOWN = 4
LONGEST = 40
"""Characters of a file's name that name its task."""
TASK = "ivx.tasks.next"
"""The task that is to be shown in the next run: a control cannot be set after it was drawn."""
UPLOADED = "ivx.tasks.uploaded"
"""The task that was uploaded last."""
COLUMNS = {
    "query": "Column of the queries",
    "answer": "Column of the answers",
    "contrast": "Column of the contrast's answers",
    "field": "What stands before a query",
}
FURTHER = (
    ("against", "Contrast: a second file of the same queries", FILES),
    ("wordings", "Wordings of the instruction, one a line", rephrasings.KINDS),
    ("contrast_wordings", "Wordings of the contrast's instruction", rephrasings.KINDS),
)


def show() -> None:
    """Draw the prompts of a task as one checkpoint's tokens; below, the forms for a task of one's own."""
    one, two = st.columns([1, 1], gap="medium")
    found = checkpoints.choice("tiny-sft")
    named = one.selectbox("Checkpoint", found.names, key="checkpoint", placeholder="not open here")
    if found.absent:
        choices.absent(found.absent, found.why)
        return
    checkpoint = str(named)
    own = st.session_state.get(session.FILES, [])
    known = [*catalogue.tasks(checkpoints.collection_of(checkpoint)), *(path for _, path in own)]
    if TASK in st.session_state:
        st.session_state["task"] = st.session_state.pop(TASK)
    shown = {path: name for name, path in own}
    task = choices.task(two, known, first="animal/colour", label="Task", named=lambda t: shown.get(t, t), stop=False)
    if task:
        _shown(checkpoint, task)
    _upload()
    typed.form(lambda file, content: _use(file, str(_kept({"": (file, content)})[""]), chosen=True))


def _shown(checkpoint: str, task: str) -> None:
    """A task's prompts as a checkpoint's tokens."""
    with st.expander("How it is asked", expanded=bool(choices.parts_of(asking.INITIAL))):
        told = asking.way(open=True)
    address.to_url(checkpoint=checkpoint, task=task, **choices.parts_of(asking.INITIAL))
    try:
        folder = files.locate(checkpoint)
        tokenizer = library.tokenizer(folder, name=checkpoint)
        pair = catalogue.find(task, collection=checkpoints.collection_of(checkpoint))
        way = way_of(pair, asking.way_of(told))
        samples = build(pair, tokenizer, samples=SHOWN, way=way)
    except IvxError as error:
        pieces.refusal(
            "This task cannot be shown", str(error), "Choose another task or checkpoint, or ask it otherwise."
        )
    else:
        pieces.head(
            "Prompts",
            f"{len(pair.queries)} queries · {len(pair.task.instructions)} wordings · against {pair.contrast.name}",
        )
        for sample in samples.rows:
            _line(sample, tokenizer.convert_ids_to_tokens, tag="about to answer" if way.demonstrations else "T_inst")
        for warning in samples.warnings[len(samples.rows) < SHOWN :]:
            pieces.note(warning)
        if st.button("Does the model follow it? ›", type="tertiary", on_click=lambda: pairs.choose(checkpoint, task)):
            session.go("behaviour")


def _line(sample: Sample, words, *, tag: str) -> None:  # type: ignore[no-untyped-def]
    def text(ids: tuple[int, ...]) -> list[str]:
        return [label_of(token) for token in words(list(ids))]

    pieces.chips(
        text(sample.source),
        sample.t_inst,
        text(sample.target),
        sample.first,
        **asking.read_by(sample, lambda token: text((token,))[0]),
        tag=tag,
    )


def _upload() -> None:
    pieces.head("Your own pair", "columns query, answer, contrast, instruction")
    given = st.file_uploader("CSV, JSON, JSON lines or Parquet", type=[kind[1:] for kind in FILES])
    parts, beside = _further()
    if given is None:
        return
    files = {"": given} | beside
    try:
        kept = _kept({key: (file.name, file.getvalue()) for key, file in files.items()})
    except IvxError as error:
        pieces.refusal("This file cannot be kept", str(error), "Take away files above that are not needed.")
        return
    parts |= {key: kept[key].name for key in beside}
    if "against" in beside:  # the columns of two files of one collection have the same names
        parts["against"] = named(parts["against"], query=parts["query"], answer=parts["answer"])
    name = named(kept[""], **parts)
    try:
        pair = catalogue.find(name)
    except IvxError as error:
        pieces.refusal(
            "This file cannot be used", str(error), "Mend the row and column named above, then choose it again."
        )
        return
    before = st.session_state.get(UPLOADED)
    st.session_state[UPLOADED] = name
    _use(" / ".join(files[key].name for key in ("", "against") if key in files), name, instead=before)
    st.success(
        f"{len(pair.queries)} queries and {len(pair.task.instructions)} wordings; choose it above or on Effects."
    )
    for note in pair.notes:
        pieces.note(note)
    for reason in pair.left_out[:SHOWN]:
        pieces.note(f"Left out: {reason}.")
    if len(pair.left_out) > SHOWN:
        pieces.note(f"Left out: {len(pair.left_out) - SHOWN} more rows.")


def _use(shown: str, task: str, *, instead: str | None = None, chosen: bool = False) -> None:
    """Let the pickers offer a task of one's own.

    Args:
        instead: a task that it takes the place of, as does one of its name.
        chosen: whether it is shown at once.
    """
    known = st.session_state.get(session.FILES, [])
    if chosen:
        st.session_state[TASK] = task
    if (shown, task) not in known:
        others = [one for one in known if one[0] != shown and one[1] != instead]
        st.session_state[session.FILES] = [*others, (shown, task)]
    elif not chosen:
        return
    st.rerun()  # the pickers above were drawn without it


def _further() -> tuple[dict[str, str], dict[str, Any]]:
    """What a file's name alone does not tell: names of columns, and further files, by `ivx.tasks.place`'s words."""
    parts: dict[str, str] = {}
    beside: dict[str, Any] = {}
    with st.popover("Columns and further files"):
        for role, label in COLUMNS.items():
            parts[role] = st.text_input(label, key=f"ivx.own.{role}").strip()
        for key, label, kinds in FURTHER:
            file = st.file_uploader(label, type=[kind[1:] for kind in kinds], key=f"ivx.own.{key}")
            if file is not None:
                beside[key] = file
    return parts, beside


def _kept(files: Mapping[str, tuple[str, bytes]]) -> dict[str, Path]:
    """Write uploads that belong together, each a name and its content, into a folder of this session's named by their
    hash; raises `IvxError` where it has too many.

    A given name is untrusted: only its letters, digits and dashes are used, which then name the task.
    """
    told = hashlib.sha256()
    for key, (name, content) in sorted(files.items()):
        told.update(repr((key, name, hashlib.sha256(content).digest())).encode())
    found: dict[str, str] = {}
    for key, (name, _) in files.items():
        plain = re.sub("[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-")[:LONGEST] or "task"
        kind = Path(name).suffix.lower()
        found[key] = f"{plain}-{key}{kind}" if f"{plain}{kind}" in found.values() else f"{plain}{kind}"
    folder = visitor.keep(told.hexdigest()[:16], {found[key]: content for key, (_, content) in files.items()})
    return {key: folder / name for key, name in found.items()}
