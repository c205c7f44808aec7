"""The controls that pages share (checkpoint, task, metric), and the popover More for the rest.

Values that differ from the default are in the address bar and are counted in More's label. Each value is set again in
every run: the browser creates a popover's widgets only when it is opened, and they would begin with their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses import defaults
from ivx.jobs.identity import is_away
from ivx.models.registry import embedded, known
from ivx.numeral import index_of, spans
from ivx.request import Request
from ivx.stats.metrics import METRICS
from ivx.tasks import catalogue
from ivx.ui.kit import address, checkpoints, pieces, session
from ivx.vocabulary import SOURCE_WORDS, position, source_token

SITES_SHOWN = ("resid_post", "z")
"""Sites of the maps, unless others are asked for."""
SAMPLES = {"effects": defaults.SAMPLES, "pairs": defaults.PAIR_SAMPLES, "game": defaults.GAME_SAMPLES, "traced": 40}
CHOSEN = "ivx.chosen"
"""The checkpoint that the session chose last."""
SHOWN_LETTERS = 100
"""Of a name that anybody may have written into an address."""
TOKENS = tuple(str(i) for i in range(20))
"""Tokens that can be named by their number."""


@contextmanager
def popover(place: DeltaGenerator, initial: Mapping[str, Any]) -> Iterator[None]:
    """The popover; its label counts the choices that are not the default."""
    changed = len(parts_of(initial))
    with place.popover(f"More · {changed}" if changed else "More", key="more", width="stretch"):
        yield


def parts_of(initial: Mapping[str, Any]) -> dict[str, str]:
    """The address bar's values for these choices: those that are not the default."""
    # Before the first run has made the widgets, only the address bar has the values.
    now = {key: st.session_state.get(key, st.query_params.get(key, default)) for key, default in initial.items()}
    return {key: _as_text(value) for key, value in now.items() if _as_text(value) != _as_text(initial[key])}


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def chosen(key: str, label: str, shown: Mapping[str, str], default: str, **told: Any) -> str:
    """A select box for one of several."""
    address.hold(key, default, list(shown))
    return str(st.selectbox(label, list(shown), key=key, format_func=lambda one: shown[one], **told))


def several(key: str, label: str, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """Some of several names, in the order of `allowed`; the default where none is left."""
    if key not in st.session_state:
        asked = [name for name in st.query_params.get(key, "").split(",") if name in allowed]
        st.session_state[key] = asked or list(default)
    st.session_state[key] = [name for name in allowed if name in st.session_state[key]] or list(default)
    picked = st.pills(label, allowed, key=key, selection_mode="multi")
    return tuple(name for name in allowed if name in picked) or default


def listed(key: str, label: str, told: str) -> str:
    """A field for a list of numbers such as 4-17; empty for all. What is no list is told, and counts as empty."""
    if key not in st.session_state:
        st.session_state[key] = st.query_params.get(key, "")
    st.session_state[key] = st.session_state[key]
    text = str(st.text_input(label, key=key, placeholder="all", help=told)).strip()
    with suppress(ValueError):
        if text:
            spans(text)
        return text
    st.caption(f"{label}: write numbers as 4-17 or 0,3,8-11.")
    return ""


def counted(key: str, label: str, default: int, *, low: int, high: int) -> int:
    """A whole-number input."""
    if key not in st.session_state:
        asked = index_of(st.query_params.get(key, ""), below=high + 1)
        st.session_state[key] = default if asked is None or asked < low else asked
    st.session_state[key] = st.session_state[key]
    return int(st.number_input(label, low, high, key=key, step=10))


SOURCE = {name: source_token(name).label for name in (*SOURCE_WORDS, *TOKENS)}


def placed(*names: str, held: str = "") -> dict[str, str]:
    """Positions to choose from: these, and tokens by their number, that of the control `held` now among them."""
    now = str(st.session_state.get(held, st.query_params.get(held, ""))) if held else ""
    more = () if now in (*names, *TOKENS) or index_of(now.removeprefix("-"), below=100) is None else (now,)
    return {name: position(name).label for name in (*names, *TOKENS, *more)}


def line_of(asked: Request) -> str:
    """A request in a line."""
    source = source_token(asked.source_token).label
    if asked.demonstrations:
        source = f"the last token of {asked.demonstrations} demonstrations"
    sites = getattr(asked, "sites", ())
    named = f"{', '.join(sites)} · " if sites else ""
    return (
        f"{asked.checkpoint} · {asked.task} · {asked.samples} samples asked for · {named}position {asked.position} · "
        f"vector from {source} · {getattr(asked, 'direction', 'denoise')}"
    )


SHOWN_METRICS = ("contrast", "logit", "logprob", "followed", "kl")
MORE_METRICS = tuple(METRICS)
"""What the rows of effects give."""


def checkpoint(place: DeltaGenerator, *, exact: bool = False, first: str = defaults.FIRST[0]) -> str:
    """The checkpoint control: buttons while there are few, else a list by family. A newly chosen one is read ahead.

    Args:
        exact: whether the page's requests ask for exact numbers (`checkpoints.loading`).
        first: what it is set to where neither the session nor the address names one.
    """
    found = checkpoints.choice(first)
    names = found.names
    with place:
        if len(names) <= 4:
            chosen = st.segmented_control(
                "Checkpoint", names, key="checkpoint", format_func=short, required=not found.absent, width="stretch"
            )
        else:
            chosen = st.selectbox(
                "Checkpoint", names, key="checkpoint", format_func=by_family, placeholder="not open here"
            )
    if found.absent:
        absent(found.absent, found.why)
        to_checkpoints()
        st.stop()
    name = str(chosen or names[0])
    # Not the one that a session begins with: reading torch would hold up its first page.
    if st.session_state.setdefault(CHOSEN, name) != name:
        st.session_state[CHOSEN] = name
        if is_away(name):
            return name
        session.wake(name, **checkpoints.loading(name, exact=exact))
    return name


def checkpoint_and_task(
    one: DeltaGenerator, two: DeltaGenerator, *, exact: bool = False, first: tuple[str, str] = defaults.FIRST
) -> tuple[str, str]:
    """The checkpoint control in one place, the task control in another; `first` is what both are set to at first."""
    name = checkpoint(one, exact=exact, first=first[0])
    tasks = list(catalogue.tasks(checkpoints.collection_of(name)))
    tasks += [path for _, path in st.session_state.get(session.FILES, [])]
    return name, task(two, tasks, first=first[1] if name == first[0] else defaults.FIRST[1])


def task(
    place: DeltaGenerator,
    tasks: Sequence[str],
    *,
    first: str,
    label: str = "Task (answer / contrast)",
    named: Callable[[str], str] | None = None,
    stop: bool = True,
) -> str:
    """The task control. One that the address names and that is not among `tasks` is refused, and the page ends there;
    without `stop`, the answer is empty."""
    asked = st.query_params.get("task", "")
    away = bool(asked) and asked not in tasks and st.session_state.get("task") is None
    if away:
        st.session_state["task"] = None
    else:
        address.hold("task", first, tasks)
    chosen = place.selectbox(label, tasks, key="task", format_func=named or task_name, placeholder="none chosen")
    if away:
        no_task(asked)
        if stop:
            st.stop()
    return str(chosen or "")


def absent(name: str, why: str) -> None:
    """Refuse a checkpoint that the address names and that is not open here."""
    pieces.refusal(
        f"{name[:SHOWN_LETTERS]} is not open here",
        f"{why[:1].upper()}{why[1:]}.",
        "Choose another checkpoint above, or open this one on the page Checkpoints.",
    )


def to_checkpoints() -> None:
    """A link to where checkpoints are opened."""
    st.page_link(Path(__file__).parents[1] / "pages" / "checkpoints.py", label="Open one on Checkpoints ›")


def no_task(name: str) -> None:
    """Refuse a task that the address names and that is not among those to choose from."""
    if any(name in catalogue.tasks(collection) for collection in catalogue.COLLECTIONS):
        why, todo = "It is not a task of what is chosen above.", "Choose another task, or another checkpoint."
    else:
        why = "ivx has no task of that name. One from a file of your own lasts as long as the session that brought it."
        todo = "Bring the file again on the page Tasks, or choose another task above."
    shown = name.rpartition("/")[2] if name.startswith("/") else name
    pieces.refusal(f"The task {shown[:SHOWN_LETTERS]} is not here", why, todo)


def metric(place: DeltaGenerator, shown: Sequence[str] = SHOWN_METRICS) -> str:
    """The metric control; it changes the view and never runs the model."""
    address.hold("metric", "contrast", shown)
    return str(place.selectbox("Metric", shown, key="metric", format_func=lambda m: METRICS[m].label))


def metric_now() -> str:
    """The metric of this view, on a page that offers no choice of it."""
    return address.from_url("metric", "contrast", SHOWN_METRICS)


def short(name: str) -> str:
    """A checkpoint as controls and legends call it: its stage, or the end of its name."""
    known = embedded(name)
    return known.stage if known else name.rstrip("/").rpartition("/")[2]


def by_family(name: str) -> str:
    """A checkpoint in a list: whether it is a toy, its family, and its stage."""
    one = known(name)
    if one is None:
        return short(name)
    if one.planted:
        return f"planted · {one.stage}"
    return f"toy · {one.stage}" if one.path is not None else f"real · {one.family}, {one.stage}"


def task_name(task: str) -> str:
    """A task as the pickers show it: its queries, what is asked, and the contrast."""
    own = dict((path, shown) for shown, path in st.session_state.get(session.FILES, []))
    if task in own:
        return own[task]
    domain, _, asked = task.partition("/")
    contrast = next((t[task].contrast for c in catalogue.COLLECTIONS if task in (t := catalogue.tasks(c))), "")
    return f"{domain}: {asked} / {contrast.partition('/')[2]}".replace("-", " ")
