"""The Runs page: what is stored, and what can be done with it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.base import Analysis, Replayed
from ivx.analyses.registry import ANALYSES
from ivx.archive import pack, unpack
from ivx.errors import IvxError
from ivx.jobs.replay import ReplayRequest
from ivx.jobs.worker import worker
from ivx.store.store import Entry, Store
from ivx.ui.kit import owned, pieces, roots, session
from ivx.ui.library import listing, underway
from ivx.ui.library.listing import STATES

REPLAYED = 5
"""Rows that are computed again."""
OTHERS = "Only who had it computed here may."


def show() -> None:
    """The list left; right, what is known of the chosen run, or how two differ."""
    store = worker().store
    for notice in store.notices() if roots.own() else ():
        pieces.note(notice)
    entries = [entry for entry in store.entries() if owned.may_see(entry.run, entry.asked)]
    left, right = st.columns([1.75, 1], gap="medium")
    with left:
        stored = f"{len(entries)} runs, {sum(entry.bytes for entry in entries) / 1e6:,.1f} MB"
        pieces.head("Stored runs", stored if entries else "nothing is stored yet")
        shown = listing.filtered(entries)
        chosen = listing.chosen(shown)
        if entries and not shown:
            pieces.note("No run is like this: choose “any” above.")
        _import(store)
    with right:
        underway.show()
        if not entries:
            pieces.refusal(
                "No runs yet",
                "Every map that is computed is kept here, with its receipt, and is never computed twice.",
                "Open Effects and run a map, or bring a run from another machine as a zip.",
            )
        elif len(chosen) == 2:
            _compare(store, chosen[0], chosen[1])
        elif chosen:
            _one(store, chosen[0])
        else:
            pieces.head("A run", "choose one in the list; two to compare them")


def _analysis(kind: str) -> Analysis[Any, Any] | None:
    """The analysis of this kind; None for one unknown to this ivx, as a later one may have stored."""
    return next((analysis for analysis in ANALYSES if analysis.kind == kind), None)


def _why_closed(kind: str, analysis: Analysis[Any, Any] | None) -> str:
    """Why a run of this kind cannot be opened."""
    if analysis is None:
        return f"This version of ivx knows no runs of {kind}."
    return analysis.elsewhere or f"No page draws a run of {kind}: `ivx {kind}` prints it."


def _one(store: Store, entry: Entry) -> None:
    pieces.head(f"Run {entry.run}", STATES[entry.state])
    open_, pin, delete = st.columns(3, gap="small")
    complete = entry.state == "complete"
    analysis = _analysis(entry.kind)
    page = analysis.page if analysis is not None else None
    if complete and open_.button(
        "Open",
        type="primary",
        width="stretch",
        disabled=page is None,
        help=None if page else _why_closed(entry.kind, analysis),
    ):
        session.open_run(entry.run, str(page))
    if not complete and open_.button(
        "Go on", type="primary", width="stretch", disabled=not entry.asked, help="Compute what is missing."
    ):
        session.start(session.request_of(entry.asked))
    mine = owned.may_change(entry.run)
    if pin.button(
        "Unpin" if entry.pinned else "Pin",
        width="stretch",
        disabled=not mine,
        help="A pinned run is never dropped for room." if mine else OTHERS,
    ):
        store.pin(entry.run, not entry.pinned)
        st.rerun()
    with delete.popover("Delete", width="stretch"):
        st.write("Its rows are removed; asked for again, they are computed again.")
        if st.button("Delete it", type="primary", disabled=not mine, help=None if mine else OTHERS):
            try:
                store.delete(entry.run)
                st.rerun()
            except IvxError as error:
                pieces.note(str(error))
    run = store.find(entry.run)
    receipt = run.receipt if run is not None else None
    if receipt is None or run is None:
        _card(_flat(entry.asked))
        return
    _card(facts(receipt))
    export, again = st.columns(2, gap="small")
    export.download_button(
        "Export as zip",
        disabled=analysis is None,
        data=lambda: pack.of_result(unpack.stored(run)),
        file_name=f"ivx-{entry.run}.zip",
        on_click="ignore",
        width="stretch",
    )
    request = receipt["request"]
    wanted = ReplayRequest(
        request["checkpoint"],
        entry.run,
        **{name: request[name] for name in ("dtype", "device", "adapter", "weights") if name in request},
    )
    own = not receipt.get("imported")
    if again.button(
        f"Replay {REPLAYED} rows",
        width="stretch",
        disabled=not own,
        help="Rows drawn by chance are computed again, one at a time by plain hooks."
        if own
        else "This run was not computed here.",
    ):
        session.start(wanted)
    _replay(wanted)
    with st.expander("Receipt"):
        st.code(json.dumps(receipt, indent=1, ensure_ascii=False), language="json", height=320)


def facts(receipt: dict[str, Any]) -> dict[str, str]:
    """The receipt in short."""
    request, versions = receipt["request"], receipt["versions"]
    passed = sum(check["passed"] for check in receipt["checks"])
    return {
        "checkpoint": " · ".join(
            receipt["checkpoint"][part]
            for part in ("name", "fingerprint", "merged", "quantisation")
            if part in receipt["checkpoint"]
        ),
        "task": " against ".join(filter(None, [request["task"], receipt.get("contrast")])) or "–"
        if "task" in request
        else ", ".join(request.get("tasks", ())),
        "control": receipt.get("control") or "none",
        "samples": f"n = {receipt.get('samples', '–')}" + (f", seed {request['seed']}" if "seed" in request else ""),
        "computed": f"{receipt['dtype']} on {receipt['device']}, {receipt['how']}, {receipt['seconds']:.1f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "checks": f"{passed} of {len(receipt['checks'])} passed",
    }


def _card(*columns: dict[str, str], names: list[str] | None = None) -> None:
    """Entries by name, in one column or beside each other."""
    lines = "".join(
        f'<tr><td class="soft" style="width:30%">{escape(name)}</td>'
        + "".join(f"<td>{escape(column.get(name, '–'))}</td>" for column in columns)
        + "</tr>"
        for name in names or columns[0]
    )
    st.html(f'<div class="ivx-card facts"><table>{lines}</table></div>')


def _replay(wanted: ReplayRequest) -> None:
    """A replay under way, or what it found."""
    job = worker().find(wanted)
    if job is None:
        return

    def draw() -> None:
        now = job.view(session.session())
        if now.live:
            pieces.note("Computing rows again …")
        elif isinstance(now.result, Replayed):
            found = now.result
            pieces.note(
                f"{len(found.rows)} rows computed again by plain hooks: the largest deviation of "
                f"{'an' if found.what[0] in 'aeiou' else 'a'} {found.what} is {pieces.deviation(found.largest)}."
            )
        else:
            pieces.note(now.message)

    st.fragment(draw, run_every=session.tick() if job.view().live else None)()


def _compare(store: Store, one: Entry, other: Entry) -> None:
    """Where two receipts differ."""
    pieces.head("Receipts compared", f"{one.run} · {other.run}")
    runs = [store.find(entry.run) for entry in (one, other)]
    receipts = [run.receipt if run is not None else None for run in runs]
    # Where one is not complete, what was asked for is compared.
    first, second = map(_flat, (one.asked, other.asked) if None in receipts else receipts)
    apart = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    if apart:
        _card(first, second, names=apart)
    pieces.note(f"{len({**first, **second}) - len(apart)} more entries are equal.")


def _flat(told: Any, name: str = "") -> dict[str, str]:
    """A receipt's leaves by their dotted names."""
    if isinstance(told, dict):
        return {k: v for key, part in told.items() for k, v in _flat(part, f"{name}.{key}".lstrip(".")).items()}
    if isinstance(told, list) and told and all(isinstance(part, dict) and "name" in part for part in told):
        return {k: v for part in told for k, v in _flat({**part, "name": None}, f"{name}.{part['name']}").items()}
    return {name: told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)}


def _import(store: Store) -> None:
    with st.expander("Bring a run from another machine"):
        given = st.file_uploader("A zip that ivx exported", type=["zip"])
        if given is None:
            return
        try:
            unpacked = unpack.unpack(given)
            new = store.find(unpacked.receipt["run"]) is None
            run = unpack.keep(unpacked, store)
            owned.note(run, made=new)
        except IvxError as error:
            pieces.refusal("This zip cannot be used", str(error), "Export the run again where it was computed.")
            return
        st.success(f"Run {run} is in the list, marked as imported: its numbers are as good as its maker’s word.")
        if st.session_state.get("ivx.imported") != run:
            st.session_state["ivx.imported"] = run
            st.rerun()  # the list above was drawn without it
