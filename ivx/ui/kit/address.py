"""The address bar: the whole view as a link, and links to it.

While a page stands, its controls are the truth and the address follows them. Once the browser steps Back or Forward,
the address is the truth: what the session held for that page gives way to it, as it does in a new session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ivx.models.registry import embedded
from ivx.tasks import catalogue
from ivx.tasks.catalogue import COLLECTIONS

OTHERS = "ivx.checkpoints"
"""Session list of further checkpoints: (name, *how), how as `LOADING` names it."""
LOADING = ("dtype", "device", "weights")
"""How such a checkpoint is loaded; the address names what is not automatic."""
AUTO = "auto"
HELD = "ivx.held"
"""Session dictionary: by page, the keys that follow the address there."""
PAGE = "ivx.page"
CARRIED = (
    "checkpoint", "task", "metric", "by", "format", "spelling", "template", "system", "worded", "asked", "placed",
)  # fmt: skip
"""Keys of controls whose choice goes from page to page, and outlives one that does not have them."""
CHOICES = "ivx.choices"
"""Session dictionary of these choices: Streamlit forgets a control's value with its page, and also where the browser
has not yet told it of that control."""
RUN = "run"
PRESENT, ON = "present", "1"
"""What the address says on every page that is presented."""

STEPS = """<style>.st-key-ivx-steps{display:none}</style><script>
if (!window.ivxSteps) {
  window.ivxSteps = true;
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const root = new URL(document.baseURI).pathname;
  let acted = -1, arrived = 0, early = {};
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { acted = performance.now(); }, true);
  addEventListener("popstate", () => { arrived = performance.now(); }, true);
  history.pushState = (state, unused, url) => {
    const next = new URL(url ?? location.href, location.href), now = performance.now();
    const moved = next.pathname !== location.pathname;
    const led = moved && location.pathname === root && !location.search;
    const late = moved && early.href === location.href && next.search === location.search && now < early.until;
    const completed = !moved && acted < arrived;
    (led || late || completed || next.href === location.href ? replace : push)(state, unused, url);
    early = moved || completed ? {} : {href: next.href, until: now + 1000};
    if (moved) arrived = now;
  };
}</script>"""
"""What is no step to go back to: the address that a page completes before anything is done on it; the first page, which
leads on; and the next page's view under the last one's name, as Streamlit writes the one before the other."""


def enter(page: str) -> None:
    """Begin a run of a page: after a step Back or Forward to it, what the session held for it is forgotten."""
    left = st.session_state.get(PAGE) != page
    st.session_state[PAGE] = page
    if stepped():
        for key in {*_held(), *(key for key in st.query_params if not key.startswith("ivx."))}:
            st.session_state.pop(key, None)
        for key in CARRIED:
            _choices().pop(key, None)
    keep()
    for key, value in _choices().items():
        if key in st.session_state or (left and key not in st.query_params):
            st.session_state[key] = st.session_state.get(key, value)  # set anew, or it goes with its control
    if presenting() and PRESENT not in st.query_params:  # led to from another page
        st.query_params[PRESENT] = ON
    with st.container(key="ivx-steps"):
        st.html(STEPS, unsafe_allow_javascript=True)


def keep() -> None:
    """Keep what is chosen now for the pages to come."""
    _choices().update({key: st.session_state[key] for key in CARRIED if st.session_state.get(key) is not None})


def _choices() -> dict[str, Any]:
    found: dict[str, Any] = st.session_state.setdefault(CHOICES, {})
    return found


def presenting() -> bool:
    """Whether the page is presented: large, without its frame."""
    return from_url(PRESENT, "", ("", ON)) == ON


def present(*, on: bool) -> None:
    """Present pages from now on, or no longer."""
    st.session_state[PRESENT] = ON if on else ""
    if on:
        st.query_params[PRESENT] = ON
    else:
        st.query_params.pop(PRESENT, None)


def onward(href: str) -> str:
    """The address of another view, with its own parts, presented where this one is."""
    return f"{href}&{PRESENT}={ON}" if presenting() else href


def stepped() -> bool:
    """Whether the browser's Back or Forward led here."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def follows(*keys: str) -> None:
    """Forget these, too, after a step to this page: they were made of the address's values."""
    _held().update(keys)


def _held() -> set[str]:
    held: dict[str, set[str]] = st.session_state.setdefault(HELD, {})
    return held.setdefault(str(st.session_state.get(PAGE, "")), set())


def asked(key: str) -> str:
    """What the view names, known or not: the session's value, else the address's; empty if neither has one."""
    follows(key)
    return str(st.session_state.get(key) or st.query_params.get(key, ""))


def from_url(key: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """One value of the view: the session's, else the address bar's if it is allowed, else the default."""
    follows(key)
    if st.session_state.get(key) is None:
        asked = st.query_params.get(key, default)
        st.session_state[key] = asked if allowed is None or asked in allowed else default
    elif allowed is not None and st.session_state[key] not in allowed:
        st.session_state[key] = default if default in allowed else allowed[0]
    return str(st.session_state[key])


def hold(key: str, default: str, allowed: Sequence[str] | None = None) -> None:
    """Set the widget of this key, drawn next, to `from_url`'s answer, in every run.

    Set in one run only, it would be lost on leaving the page, and in a browser for which that run was cut short, which
    then begins with the first option.
    """
    st.session_state[key] = from_url(key, default, allowed)


def to_url(**parts: Any) -> None:
    """Write the whole view into the address bar; empty parts are left out."""
    follows(*parts)
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    wanted |= _loading(wanted.get("checkpoint", ""))
    if presenting():
        wanted[PRESENT] = ON
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def _loading(checkpoint: str) -> dict[str, str]:
    """How a checkpoint that the session opened is loaded, where that is not automatic."""
    how = next((how for name, *how in st.session_state.get(OTHERS, []) if name == checkpoint), ())
    return {key: value for key, value in zip(LOADING, how, strict=False) if value != AUTO}


def to_view(**parts: Any) -> str:
    """The address of this page with these parts; empty ones are left out."""
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    return f"{str(st.context.url or '').partition('?')[0]}?{urlencode(wanted, safe='@~*=,/')}"


def link(result: Any, **parts: Any) -> str:
    """An address that shows this view in any session.

    A checkpoint that a user opened and a task from a user's file are session-only: there the link names the stored run.
    """
    request = result.request
    given = embedded(request.checkpoint) is not None and any(request.task in catalogue.tasks(c) for c in COLLECTIONS)
    if st.session_state.get(RUN) or not given:
        kept = {key: parts[key] for key in parts if key in ("metric", "show", "cell", "pin", "pair")}
        parts = {RUN: result.run_id, **kept}
    return to_view(**parts)
