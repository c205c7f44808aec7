"""The view: what the address bar says, and what the page's controls say back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from tokenizers import Tokenizer

from ivx.jobs.compute import result_of
from ivx.jobs.job import Job
from ivx.jobs.worker import Asked, worker
from ivx.models import files
from ivx.models.registry import CHECKPOINTS, embedded
from ivx.request import BaseRequest
from ivx.tasks import catalogue
from ivx.tasks.catalogue import COLLECTIONS
from ivx.ui.kit import pieces

OTHERS = "ivx.checkpoints"
"""Session list of further checkpoints: (name, dtype, device)."""
TICK_SECONDS = 0.6
FIRST_TICK_SECONDS = 0.2
SEEK_SECONDS = 0.25
"""A page waits so long for what may be stored, so as not to draw a wait that is none."""
SESSION = "ivx.session"
RUN = "run"
SEEN = "ivx.seen"
"""Session set of requests that were looked up or joined."""
FILES = "ivx.files"
"""Session list of the user's own task files: (shown name, path)."""


def session() -> str:
    """Who asks: one name for each open page, the same until it is closed."""
    return str(st.session_state.setdefault(SESSION, secrets.token_hex(8)))


def job(request: Asked, *, compute: bool) -> Job | None:
    """The job of a request, which this session now waits for; None where it is neither stored nor under way.

    Without `compute` nothing is started that was not asked for; a session that left a job does not join it again.
    """
    found = worker().find(request)
    seen = st.session_state.setdefault(SEEN, set())
    new, wanted = request not in seen, found is not None and found.wanted
    if (compute and (new or not wanted)) or (new and found is None):
        found = worker().submit(request, session=session(), compute=compute)
        found.sought(SEEK_SECONDS)
    elif found is not None and new:
        found.join(session())
    seen.add(request)
    return None if found is None or is_absent(found) else found


def is_absent(found: Job) -> bool:
    """Whether a job was looked up, not there, and never begun."""
    return not found.wanted and found.view().state == "stopped"


def stored_run(*kinds: str) -> Any | None:
    """The result of the run that the address bar names; None where the store has none of that name and these kinds."""
    try:
        found = _result(from_url(RUN, ""))
    except LookupError:
        return None
    return found if found.request.kind in kinds else None


def run_strip(kinds: str | Sequence[str], told: Callable[[Any], str]) -> DeltaGenerator:
    """In the place of the controls: which run is shown, and the way back; returns a place for one more."""
    run, found = from_url(RUN, ""), stored_run(*([kinds] if isinstance(kinds, str) else kinds))
    what, more, back = st.columns([3.2, 0.8, 0.8], gap="medium", vertical_alignment="bottom")
    back.button("Back to the controls", on_click=close_run, width="stretch")
    with what:
        if found is None:
            pieces.refusal(
                "This run is not here",
                f"The store has no complete run {run!r} of this kind.",
                "Go back to the controls, or bring the run as a zip on the page Runs.",
            )
        else:
            pieces.note(f"Run {run}{', imported' * bool(found.receipt.get('imported'))}: {told(found.request)}")
    return more


@st.cache_resource(max_entries=8, show_spinner=False)
def _result(run: str) -> Any:
    found = worker().store.find(run)
    result = None if found is None else result_of(found)
    if result is None:
        raise LookupError(run)  # so that its absence is not remembered
    return result


def token_of(result: Any) -> Callable[[int], str]:
    """Token id to text. An imported run names its checkpoint by a stranger's word, so that is not looked for."""
    name = result.request.checkpoint
    if result.receipt.get("imported") and embedded(name) is None:
        return lambda i: f"#{i}"
    return _token(name)


@cache
def _token(checkpoint: str) -> Callable[[int], str]:
    folder = files.locate(checkpoint)
    if (folder / "tokenizer.json").is_file():  # read without transformers, so that a stored run is drawn at once
        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda i: _shown(fast.id_to_token(i))
    from transformers import AutoTokenizer

    slow = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    return lambda i: _shown(slow.convert_ids_to_tokens(i))


def _shown(token: object) -> str:
    return str(token).replace("Ġ", "␣").replace("▁", "␣")


@cache
def has_chat_template(checkpoint: str) -> bool:
    """Whether a checkpoint's tokenizer can put a text into a chat turn; from its files alone."""
    folder = files.locate(checkpoint)
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    told = folder / "tokenizer_config.json"
    return told.is_file() and bool(json.loads(told.read_text(encoding="utf-8")).get("chat_template"))


@cache
def layers_of(checkpoint: str) -> int:
    """How many layers a checkpoint has, from its config alone."""
    told = files.read_config(files.locate(checkpoint), name=checkpoint)
    return int(next(told[name] for name in ("num_hidden_layers", "n_layer", "num_layers") if name in told))


def open_run(run: str, page: str) -> None:
    """Go to the page that draws this run, and show it there."""
    st.session_state[RUN] = run
    st.switch_page(Path(__file__).parents[3] / "pages" / f"{page}.py")


def close_run() -> None:
    """Show again what the controls say."""
    st.session_state[RUN] = ""


def request_of(asked: dict[str, Any]) -> BaseRequest:
    """The request that a run was computed for."""
    from ivx.analyses.registry import request_of

    return request_of(asked)


def ahead(request: Asked) -> int:
    """How many requests are answered before this one."""
    found = worker().find(request)
    return 0 if found is None else worker().ahead(found)


def tick(*, first: bool = False) -> float:
    """Seconds between two looks at a live job: longer the more sessions look, since drawing takes from computing."""
    return (FIRST_TICK_SECONDS if first else TICK_SECONDS) * max(1.0, worker().watched() / 2)


def start(request: Asked) -> None:
    """Compute a request, or go on with it."""
    worker().submit(request, session=session())


def leave(request: Asked) -> None:
    """This session waits no longer; what is done is kept."""
    worker().leave(request, session=session())


def from_url(key: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """A part of the view: the session's, or at first the address bar's when it is one that exists, or the default."""
    if key not in st.session_state:
        asked = st.query_params.get(key, default)
        st.session_state[key] = asked if allowed is None or asked in allowed else default
    elif allowed is not None and st.session_state[key] not in allowed:
        st.session_state[key] = default if default in allowed else allowed[0]
    return str(st.session_state[key])


def hold(key: str, default: str, allowed: Sequence[str] | None = None) -> None:
    """Set anew what the widget of this key, drawn next, shows: `from_url`'s answer.

    Set in one run only, it would be lost on a browser that this run was cut short for, which then begins with the first
    option; and on leaving a page.
    """
    st.session_state[key] = from_url(key, default, allowed)


def to_url(**parts: Any) -> None:
    """Write the whole view into the address bar; empty parts are left out."""
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def link(result: Any, **parts: Any) -> str:
    """An address that shows this view in any session.

    A checkpoint that somebody opened and a task from somebody's file are theirs, so there the stored run is named.
    """
    request = result.request
    given = embedded(request.checkpoint) is not None and any(request.task in catalogue.tasks(c) for c in COLLECTIONS)
    if st.session_state.get(RUN) or not given:
        kept = {key: parts[key] for key in parts if key in ("metric", "show", "cell", "pair")}
        parts = {RUN: result.run_id, **kept}
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    return f"{str(st.context.url or '').partition('?')[0]}?{urlencode(wanted, safe='@~*=,/')}"


def checkpoints() -> list[str]:
    """The checkpoints to choose from: embedded, and those this session has opened."""
    found = [c.name for c in CHECKPOINTS if c.path is not None and c.path.is_dir()]
    return found + [name for name, *_ in st.session_state.get(OTHERS, []) if name not in found]


def collection_of(name: str) -> str:
    """The task collection that fits a checkpoint."""
    known = embedded(name)
    return known.collection if known else "english"


def loading(name: str, *, exact: bool = False) -> dict[str, str]:
    """dtype and device chosen for a checkpoint of this session; float32 or float64 where it must be `exact`."""
    chosen = {n: {"dtype": dtype, "device": device} for n, dtype, device in st.session_state.get(OTHERS, [])}
    found = chosen.get(name, {})
    return found | {"dtype": "float64" if found.get("dtype") == "float64" else "float32"} if exact else found
