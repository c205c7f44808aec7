"""What the Post-training page's views share: which checkpoints stand in a row, their names, colours and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.compare.request import FEWEST, MOST, Compared
from ivx.analyses.compare.result import Comparison, Member
from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.transplant.result import Transplant
from ivx.charts.lines import colours_of
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.models.registry import CHECKPOINTS, families, known, steps
from ivx.request import BaseRequest
from ivx.tasks import catalogue
from ivx.ui.kit import address, asking, blanks, checkpoints, choices, exports, pieces, places, progress, session
from ivx.ui.kit.choices import parts_of

OWN = "own choice"
ROW = 24
"""Height of a map's row: two rows of maps and one of curves are to fit a screen."""
Views = Mapping[str, View | None]


@dataclass(frozen=True)
class Comparing:
    """What the strip says: the checkpoints in their order, what each is asked, the metric, and what is shown."""

    names: tuple[str, ...]
    subject: Compared
    metric: str
    show: str

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """Which checkpoint each is compared with: (earlier, later)."""
        return steps(self.names)

    def requests(self, *wanted: str) -> dict[str, BaseRequest]:
        """The requests of some parts by `part checkpoint`, checkpoint by checkpoint, so that each is loaded once."""
        return {
            key(part, name): self.subject.part(part, name, **checkpoints.loading(name))
            for name in self.names
            for part in wanted
        }

    def colours(self, p: Palette) -> dict[str, str]:
        """Each checkpoint's colour as a line."""
        return dict(
            zip(
                self.names,
                colours_of([one.stage if (one := known(name)) else "" for name in self.names], p),
                strict=True,
            )
        )


def key(part: str, name: str) -> str:
    """The name of one part of one checkpoint among the page's requests."""
    return f"{part} {name}"


def stage(name: str) -> str:
    """What a checkpoint is called in a panel's head: its stage, or the end of its name."""
    one = known(name)
    return one.stage[:1].upper() + one.stage[1:] if one else name.rstrip("/").rpartition("/")[2]


def difference(step: tuple[str, str]) -> str:
    """What a step is called."""
    return f"{stage(step[1])} − {stage(step[0])}"


def chosen_names(place: DeltaGenerator) -> tuple[str, ...]:
    """The family's checkpoints that are here, or those picked one by one."""
    asked = [name for name in st.query_params.get("checkpoints", "").split(",") if name]
    away = {} if st.session_state.get("family") else _absent(asked)
    here = checkpoints.checkpoints()
    there = {family: tuple(name for name in names if name in here) for family, names in families().items()}
    there = {family: names for family, names in there.items() if len(names) >= FEWEST}
    named = address.asked("family")
    if named not in ("", OWN, *there):
        away = {named: "Its checkpoints are not on this machine"}
    address.follows("picked")
    if "picked" not in st.session_state:
        known = [name for name in asked if name in here]
        st.session_state["picked"] = known[:MOST] or [one.name for one in CHECKPOINTS if one.name in here][:MOST]
    st.session_state["picked"] = st.session_state["picked"]  # like `address.hold`, for a list
    if away:
        st.session_state["family"] = None
    else:
        address.hold("family", OWN if asked else next(iter(there), OWN), [*there, OWN])
    family = place.selectbox(
        "Family",
        [*there, OWN],
        key="family",
        format_func=lambda f: f"{f}: {', '.join(map(stage, there[f]))}" if f in there else "Own choice, 2 to 6",
        placeholder="not open here",
    )
    for name, why in away.items():
        choices.absent(name, why)
    if away:
        choices.to_checkpoints()
        st.stop()
    if family != OWN:
        return there[str(family)][:MOST]
    picked = st.multiselect(
        "Checkpoints, the earliest first", here, key="picked", format_func=_named, max_selections=MOST
    )
    return tuple(picked)


def _absent(names: Sequence[str]) -> dict[str, str]:
    """Those that cannot be chosen here, and why."""
    return {name: why for name in names if (why := checkpoints.why_absent(name))}


def chosen_task(place: DeltaGenerator, names: Sequence[str]) -> str:
    """A task that every checkpoint has."""
    tasks = tasks_of(names)
    return choices.task(place, tasks, first="animal/colour")


def done(request: BaseRequest) -> Any | None:
    """The result of a request that is looked up, and not begun; None while there is none."""
    job = session.job(request, compute=False)
    now = None if job is None else job.view()
    return now.result if now is not None and now.state == "done" else None


def _named(name: str) -> str:
    return f"{name} ({stage(name)})" if known(name) else name


def tasks_of(names: Sequence[str]) -> list[str]:
    """The tasks that every checkpoint has, and the user's own."""
    every = [list(catalogue.tasks(checkpoints.collection_of(name))) for name in names]
    tasks = [task for task in (every[0] if every else ()) if all(task in others for others in every)]
    return tasks + [path for _, path in st.session_state.get(session.FILES, [])]


def rows_of(count: int) -> Iterator[list[DeltaGenerator]]:
    """Columns for panels, row by row: up to four in one row, else threes; rows of one page have equal columns."""
    across = count if count <= 4 else 3
    for start in range(0, count, across):
        yield st.columns(across, gap="medium")[: min(across, count - start)]


def line_legend(asked: Comparing, p: Palette, *more: tuple[str, str]) -> None:
    """Which line is which checkpoint; `more` are further lines by colour and name, dashed."""
    colours = asked.colours(p)
    drawn = "".join(
        f'<span><i style="border-top:{style} {colour}"></i>{escape(name)}</span>'
        for style, colour, name in (
            *(("3px solid", colours[name], stage(name)) for name in asked.names),
            *(("2px dashed", colour, name) for colour, name in more),
        )
    )
    st.html(f'<div class="ivx-legend ivx-lines">{drawn}</div>')


def to_url(asked: Comparing, **more: str) -> None:
    """Write the whole view into the address bar; `more` is what one view alone has."""
    own = address.from_url("family", "") == OWN
    marks = {"effects": "cell", "pairs": "pair", "transplant": "graft", "exchange": "layers"}
    address.to_url(
        family="" if own else address.from_url("family", ""),
        checkpoints=",".join(asked.names) if own else "",
        task=asked.subject.task,
        metric=asked.metric,
        show=asked.show,
        **more,
        length=st.session_state.get("length", "") if asked.show == "transplant" else "",
        **parts_of(asking.INITIAL | asking.PLAIN | places.PLAIN),
        **{marks[asked.show]: st.session_state.get(marks[asked.show], "")},
    )


def status(now: View | None, done: str) -> str:
    """A panel's subtitle: how far its request is, or what the panel measures."""
    if now is None:
        return blanks.UNASKED.lower()
    if now.state in ("refused", "failed"):
        return now.state
    if now.state == "stopped":
        return "stopped"
    if not now.live:
        return done
    return progress.status(now) if now.done else progress.waiting_for(now)


def blank(asked: Comparing, requests: Mapping[str, BaseRequest], views: Views, *, about: str) -> None:
    """The card of a page of empty panels, before them; while something is computed the panels say how far it is."""
    if any(now is not None and now.live for now in views.values()):
        return
    with st.columns([1.2, 1], gap="medium")[0]:
        first = [one for one in requests.values() if one.checkpoint == asked.names[0]]
        each = f"Of each of the {len(asked.names)} checkpoints, as of {stage(asked.names[0])}:"
        blanks.card(requests, views, about=about, button="Run the comparison", priced=first, each=each)


def trouble(views: Views, requests: Mapping[str, BaseRequest]) -> None:
    """What is missing on the page, and the ways to go on: nothing asked, stopped, refused or failed."""
    absent = [name for name, now in views.items() if now is None or now.state == "stopped"]
    bad = {name: now for name, now in views.items() if now is not None and now.state in ("refused", "failed")}
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, now in bad.items():
        part, _, checkpoint = name.partition(" ")
        alike.setdefault((part, now.state, now.message), []).append(checkpoint)
    for (part, state, message), names in alike.items():
        todo = "Choose another checkpoint, task or source token above; the other panels stand."
        pieces.refusal(f"{part.capitalize()} of {', '.join(names)}: {state}", message, todo)
    if absent or bad:
        label = "Run what is missing" if len(absent) < len(views) else "Run the comparison"
        st.caption(f"{len(absent) + len(bad)} of {len(views)} parts are not computed; what was done is kept.")
        if st.button(label, type="primary"):
            for name in [*absent, *bad]:
                session.start(requests[name])
            st.rerun()


def stop(views: Views, requests: Mapping[str, BaseRequest]) -> None:
    """The progress of all requests together, and a button to stop them."""
    live = [name for name, now in views.items() if now is not None and now.live]
    if not live:
        return
    done = sum(1.0 if not now.live else now.done / now.total if now.total else 0.0 for now in views.values() if now)
    pieces.progress(round(1000 * done), 1000 * len(views))
    if st.button("Stop, keep what is done", key="stop"):
        for name in live:
            session.leave(requests[name])
        st.rerun()


def result(views: Views, part: str, name: str) -> Any | None:
    """The result so far of one part of one checkpoint."""
    now = views.get(key(part, name))
    return None if now is None else now.result


def foot(
    asked: Comparing,
    found: Sequence[Effects | Interactions | Transplant],
    members: Sequence[Member],
    views: Views,
    grafts: Mapping[tuple[str, str], Transplant] = MappingProxyType({}),
    offer: Callable[[], None] | None = None,
) -> None:
    """The trust strip: checks that every checkpoint passed, how many rows stand behind the page; and the export,
    by default of the comparison."""
    if not found:
        return
    worst: dict[str, Any] = {}
    for result in found:
        for check in result.receipt["checks"]:
            other = worst.get(check["name"])
            if other is None or (check["deviation"] or 0.0) > (other["deviation"] or 0.0):
                worst[check["name"]] = check
    rows = sum(result.table.num_rows for result in found)
    n = len(found[0].samples.rows)
    runs = " ".join(result.run_id for result in found[:MOST])
    weights = {
        key: "; ".join(dict.fromkeys(told for result in found if (told := result.receipt["checkpoint"].get(key))))
        for key in pieces.WEIGHTS
    }
    receipt = {**found[0].receipt, "checks": list(worst.values()), "run": runs, **weights}
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        pieces.trust(receipt, rows=f"n = {n} · {rows:,} rows")
    if not any(now is not None and now.live for now in views.values()):
        with export:
            if offer is None:
                exports.offer_comparison(Comparison(asked.subject, tuple(members), grafts), asked.metric)
            else:
                offer()
