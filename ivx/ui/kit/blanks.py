"""Blanks: what stands where a result is not: nothing asked, waited for, stopped, refused or failed.

One card on every page, in the place of the result's own; beside it the page draws the true axes of what is to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.jobs.compute import Cost
from ivx.jobs.identity import is_away
from ivx.jobs.job import LIVE, View
from ivx.jobs.worker import Asked
from ivx.request import BaseRequest
from ivx.ui.kit import progress, session

if TYPE_CHECKING:
    from ivx.engine.plan.forecast import Counted, Forecast

PAGES = Path(__file__).parents[1] / "pages"
HEADINGS = {
    "queued": "Waiting for its turn",
    "loading": "Reading the checkpoint",
    "running": "Measuring",
    "stopped": "Stopped",
    "refused": "This cannot be measured",
    "failed": "The run failed",
}
UNASKED = "Not measured yet"
FIRST = (
    "Nobody has looked at this checkpoint and task yet. Which tokens one looks at decides what is seen: search for the "
    "place first; every page then opens there."
)
SEARCH = "Search for the place"
OTHERWISE = "Choose another checkpoint or task above, or another choice under More."
Views = Mapping[str, View | None]


class Cure(NamedTuple):
    """What mends a refusal: a sentence, and the page that a click on its last words opens, with these choices."""

    said: str
    label: str
    page: str
    view: Mapping[str, str] = MappingProxyType({})


class Blank(NamedTuple):
    """A page that has no result.

    Attributes:
        about: one sentence on what will be measured.
        button: what starts it.
        axes: draws the panels to come, each with these words at its right; returns the place of the card.
        search: what should be done first, which is then the main button; None where nothing should.
        cure: what mends a refusal, where that is known.
        aside: whether the main button stands elsewhere on the page.
    """

    about: str
    button: str
    axes: Callable[[str], DeltaGenerator]
    search: Callable[[], BaseRequest | None] = lambda: None
    cure: Callable[[View], Cure | None] = lambda now: None
    aside: bool = False


def show(request: BaseRequest, now: View | None, blank: Blank) -> None:
    """Draw a page whose one request has nothing to show."""
    with blank.axes(word(now)):
        card(
            {"": request},
            {"": now},
            about=blank.about,
            button=blank.button,
            search=blank.search() if now is None else None,
            aside=blank.aside,
            cure=blank.cure,
        )


def word(now: View | None) -> str:
    """The state in a panel's head."""
    if now is None:
        return UNASKED.lower()
    if now.state in LIVE:
        return progress.status(now) if now.done else progress.waiting_for(now, "waiting for its turn")
    return now.state


def card(
    requests: Mapping[str, Asked],
    views: Views,
    *,
    about: str,
    button: str,
    search: BaseRequest | None = None,
    aside: bool = False,
    cure: Callable[[View], Cure | None] = lambda now: None,
    priced: Sequence[BaseRequest] | None = None,
    each: str = "",
    key: str = "",
) -> None:
    """Draw the card of requests that are shown together: refused or failed if one is, else waited for, stopped, or
    offered with their cost.

    Args:
        search: what should be done first, and is then the main button.
        aside: whether the main button stands elsewhere on the page.
        cure: as of a `Blank`.
        priced: the requests whose cost is told (default: all); `each` is what that is the cost of.
        key: tells the cards of one page apart.
    """
    states = {name: "" if now is None else now.state for name, now in views.items()}
    bad = [name for name in views if states[name] in ("refused", "failed")]
    live = [name for name in views if states[name] in LIVE]
    stopped = [name for name in views if states[name] == "stopped"]
    with st.container(key=f"ivx-blank{key}", gap="small"):
        if bad:
            now = views[bad[0]]
            assert now is not None
            _bad(requests[bad[0]], now, cure(now), again=[requests[name] for name in bad], key=key)
        elif live:
            now = views[live[0]]
            assert now is not None
            if all(session.is_sought(requests[name]) for name in live):
                _head("Looking among the stored runs", about)
            else:
                _head(HEADINGS[now.state], f"{_capital(progress.waiting(requests[live[0]], now))}.")
                progress.stopping(requests, views, key=f"stop{key}")
        elif stopped:
            _head(HEADINGS["stopped"], "What was done is kept; it goes on from there.")
            if st.button("Go on", type="primary", key=f"go-on{key}"):
                _start(requests[name] for name in stopped)
        else:
            lacking = [one for name, one in requests.items() if not states[name]]
            away = next((found for one in lacking if (found := _fetched(one))), None)
            if away is not None:
                _head("This is not among the runs that came with ivx", away.said)
                mends(
                    away._replace(said="Fetch the checkpoint; or choose another task or checkpoint above."),
                    otherwise="",
                )
                return
            _head(UNASKED)
            prices = {}
            if search is not None:
                prices[_offered([search], FIRST, SEARCH, main=True, key=f"place-first{key}", page="place")] = [search]
            asked = [one for one in lacking if isinstance(one, BaseRequest)] if priced is None else list(priced)
            prices[_offered(lacking, about, button, main=search is None and not aside, key=f"ask{key}")] = asked
            for place, those in prices.items():  # last: what polls stops the page's own run
                with place:
                    costs(those, each=each)


def _offered(
    requests: Sequence[Asked], about: str, button: str, *, main: bool, key: str, page: str = ""
) -> DeltaGenerator:
    """What will be measured, and the button that starts it, and goes to a page of its own; returns the place of the
    cost."""
    st.html(f"<p>{escape(about)}</p>")
    cost = st.container()
    if st.button(button, type="primary" if main else "secondary", key=key):
        for request in requests:
            session.start(request)
        if page:
            session.go(page)
        st.rerun()
    return cost


def ended_badly(request: Asked, now: View, *, cure: Cure | None = None, narrow: bool = False) -> None:
    """The card of one request that was refused, or failed."""
    with nullcontext() if narrow else st.columns([1.2, 1], gap="medium")[0], st.container(key="ivx-blank-bad"):
        _bad(request, now, cure, again=[request], key="-bad")


def _bad(request: Asked, now: View, cure: Cure | None, *, again: Sequence[Asked], key: str) -> None:
    _head(HEADINGS[now.state], f"{_capital(now.message)}{'.' * (now.message[-1:] not in '.!?')}")
    if now.state == "failed":
        st.html('<h3>What to do</h3><div class="todo">Run it again; if it fails again, report the trace below.</div>')
        with st.expander("Trace"):
            st.code(now.trace, language=None)
    else:
        mends(cure or _fetched(request), otherwise=OTHERWISE)
    if st.button("Run again", key=f"again{key}"):
        _start(again)


def mends(cure: Cure | None, *, otherwise: str) -> None:
    """What to do about a refusal, with a click where one does it."""
    st.html(f'<h3>What to do</h3><div class="todo">{escape(cure.said if cure else otherwise)}</div>')
    if cure is not None:
        st.page_link(PAGES / f"{cure.page}.py", label=f"{cure.label} ›", query_params=dict(cure.view) or None)


def _fetched(request: Asked) -> Cure | None:
    """A checkpoint that is known and not here is fetched on the page of checkpoints."""
    if not is_away(request.checkpoint):
        return None
    said = f"{request.checkpoint} is not on this machine, so nothing can be computed on it."
    return Cure(said, "Fetch it on Checkpoints", "checkpoints")


def costs(requests: Sequence[BaseRequest], *, each: str = "", summed: bool = False) -> None:
    """Say what requests will cost, as soon as their checkpoint has been read.

    Args:
        each: what it is the cost of.
        summed: tell what all of them take together, and until then of how many that is known.
    """
    wanted = {request: Cost.request(request) for request in requests}
    jobs = session.jobs(wanted, compute=wanted).values()

    def look() -> None:
        said, waits, found = [], "", []
        for request, told in wanted.items():
            job = session.job(told, compute=True)
            now = None if job is None else job.view(session.session())
            if now is not None and now.live:
                waits = waits or f"The cost is told as soon as it is known: {progress.waiting_for(now)} …"
            elif now is not None and now.result is not None:
                what = f"{request.kind}: " if len(wanted) > 1 else ""
                said.append(f"{what}{now.result.told}")
                found.append(now.result)
        if summed:
            said = together(found, of=len(wanted))
        lines = "".join(f"<div>{escape(_capital(one))}</div>" for one in filter(None, [*said, waits]))
        st.html(f'<div class="ivx-cost">{f"<div>{escape(each)}</div>" if each and lines else ""}{lines}</div>')

    live = any(job is not None and job.view().live for job in jobs)
    st.fragment(look, run_every=session.tick() if live else None)()


def together(found: Sequence[Forecast | Counted], *, of: int) -> list[str]:
    """What so many requests cost one after the other, as far as it is known."""
    from ivx.engine.plan.forecast import Forecast  # late: pages are there before torch

    known = [one for one in found if isinstance(one, Forecast)]
    if not known:
        return []
    whole = known[0]
    for one in known[1:]:
        whole += one
    return [whole.told if len(known) == of else f"{whole.told[:-1]}; that is {len(known)} of {of}, others to come."]


def _start(requests: Any) -> None:
    for request in requests:
        session.start(request)
    st.rerun()


def _head(heading: str, said: str = "") -> None:
    told = f"<p>{escape(said)}</p>" if said else ""
    st.html(f'<div class="top"><h2>{escape(heading)}</h2></div>{told}')


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
