"""The Tasks page: previews with tokens, and a user's own file."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from pathlib import Path

import streamlit as st

from ivx.errors import IvxError
from ivx.models import files, library
from ivx.tasks import catalogue
from ivx.tasks.prompt import FORMATS
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build
from ivx.tasks.way import Way
from ivx.ui.kit import address, checkpoints, pieces, session

SHOWN = 4


def show() -> None:
    """Draw the prompts of a task as one checkpoint's tokens; below, the form for a user's own file."""
    one, two, three = st.columns([1, 1, 1], gap="medium")
    names = checkpoints.checkpoints()
    address.hold("checkpoint", "tiny-sft" if "tiny-sft" in names else names[0], names)
    checkpoint = str(one.selectbox("Checkpoint", names, key="checkpoint"))
    own = st.session_state.get(session.FILES, [])
    known = [*catalogue.tasks(checkpoints.collection_of(checkpoint)), *(path for _, path in own)]
    address.hold("task", "animal/colour", known)
    shown = {path: name for name, path in own}
    task = str(two.selectbox("Task", known, key="task", format_func=lambda t: shown.get(t, t)))
    form = str(three.selectbox("Target format", FORMATS))
    address.to_url(checkpoint=checkpoint, task=task)
    try:
        folder = files.locate(checkpoint)
        tokenizer = library.tokenizer(folder, name=checkpoint)
        pair = catalogue.find(task, collection=checkpoints.collection_of(checkpoint))
        samples = build(pair, tokenizer, samples=SHOWN, way=Way(form))
    except IvxError as error:
        pieces.refusal("This task cannot be shown", str(error), "Choose another task, checkpoint or target format.")
    else:
        pieces.head(
            "Prompts",
            f"{len(pair.queries)} queries · {len(pair.task.instructions)} wordings · against {pair.contrast.name}",
        )
        for sample in samples.rows:
            _line(sample, tokenizer.convert_ids_to_tokens)
        for warning in samples.warnings[1:] if len(pair.queries) > SHOWN else samples.warnings:
            pieces.note(warning)
    _upload()


def _line(sample: Sample, words) -> None:  # type: ignore[no-untyped-def]
    def text(ids: tuple[int, ...]) -> list[str]:
        return [token.replace("Ġ", "␣").replace("▁", "␣") for token in words(list(ids))]

    pieces.chips(
        text(sample.source),
        sample.t_inst,
        text(sample.target),
        sample.first,
        answer=sample.answer,
        contrast=sample.contrast,
        tag="T_inst",
    )


def _upload() -> None:
    pieces.head("Your own pair", "columns query, answer, contrast, instruction")
    given = st.file_uploader("CSV, JSON lines or Parquet", type=["csv", "jsonl", "parquet"])
    if given is None:
        return
    path = _kept(given.name, given.getvalue())
    try:
        pair = catalogue.find(str(path))
    except IvxError as error:
        pieces.refusal(
            "This file cannot be used", str(error), "Mend the row and column named above, then choose it again."
        )
        return
    own = [(given.name, str(path))]
    if st.session_state.get(session.FILES) != own:
        st.session_state[session.FILES] = own
        st.rerun()  # the pickers above were drawn without it
    st.success(
        f"{len(pair.queries)} queries and {len(pair.task.instructions)} wordings; choose it above or on Effects."
    )
    for reason in pair.left_out[:SHOWN]:
        pieces.note(f"Left out: {reason}.")
    if len(pair.left_out) > SHOWN:
        pieces.note(f"Left out: {len(pair.left_out) - SHOWN} more rows.")


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Where uploads lie while the server runs; only its owner may look inside."""
    return tempfile.TemporaryDirectory(prefix="ivx-tasks-")


def _kept(name: str, content: bytes) -> Path:
    """Write an upload, named by its content's hash: only the given name's ending is used, the rest is untrusted."""
    path = Path(_folder().name) / f"{hashlib.sha256(content).hexdigest()[:16]}{Path(name).suffix.lower()}"
    if not path.exists():
        path.write_bytes(content)
    return path
