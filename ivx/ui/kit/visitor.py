"""A visitor: which session this is, whose it is, and the folder of what they uploaded.

A user is a name that somebody signed in with, or else one session. What a session uploaded lies in a folder that goes
with it: when Streamlit lets the session go, two minutes after its page was closed, or when the server ends.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import WeakKeyDictionary

import streamlit as st

from ivx import scratch
from ivx.errors import IvxError
from ivx.jobs.job import user_of
from ivx.models import paths
from ivx.ui.kit.limits import UPLOAD_MB, UPLOADS, limits

SESSION = "ivx.session"
FOLDER = "ivx.uploads"
"""The session's folder of uploads, which is removed once nobody refers to it."""
_WHOSE: WeakKeyDictionary[TemporaryDirectory[str], str] = WeakKeyDictionary()
"""Whose the folders are of all sessions that last."""
_KEEPING = threading.Lock()
"""Two sessions of one user count and write one after the other."""


def session() -> str:
    """The session's name: one for each open page, the same until it is closed; what stands before a slash is the
    user's."""
    if SESSION not in st.session_state:
        known, own = signed_in(), secrets.token_hex(8)
        st.session_state[SESSION] = f"{known}/{own}" if known else own
    return str(st.session_state[SESSION])


def signed_in() -> str:
    """A name for whoever has signed in, by which nobody is known elsewhere; empty where nobody has."""
    with suppress(AttributeError, KeyError):
        if st.user.get("is_logged_in"):
            told = [str(st.user.get(part) or "") for part in ("iss", "sub", "email")]
            return hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]
    return ""


def user() -> str:
    """Whose session this is."""
    return user_of(session())


def keep(folder: str, files: dict[str, bytes]) -> Path:
    """Write what the session uploaded into a folder of its own, by plain names; returns the folder.

    Raises:
        IvxError: it would be more than one user may keep here, in all sessions together.
    """
    with _KEEPING:
        place = _own() / folder
        new = {name: content for name, content in files.items() if not (place / name).exists()}
        held = _held(user())
        allowed = limits()
        if len(held) + len(new) > allowed.uploads:
            raise IvxError(
                f"this server keeps {allowed.uploads} uploaded files of one user: close a page that has some, wait two "
                f"minutes until they are gone, or ask its owner to raise {UPLOADS}"
            )
        if sum(held) + sum(map(len, new.values())) > allowed.upload_mb * 1e6:
            raise IvxError(
                f"this server keeps {allowed.upload_mb:g} MB of one user's files: give smaller ones, or ask its owner "
                f"to raise {UPLOAD_MB}"
            )
        place.mkdir(exist_ok=True)
        for name, content in new.items():
            (place / name).write_bytes(content)
    return place


def _held(whose: str) -> list[int]:
    """The sizes of the files that a user's sessions keep."""
    places = [Path(folder.name) for folder, its in _WHOSE.items() if its == whose]
    return [path.stat().st_size for place in places for path in place.rglob("*") if path.is_file()]


def swept() -> int:
    """Remove the uploads that servers left which did not end in order; returns of how many servers."""
    return scratch.swept(_uploads())


def _own() -> Path:
    if FOLDER not in st.session_state:
        try:
            st.session_state[FOLDER] = scratch.folder("of", among=_uploads())
        except OSError as error:
            raise IvxError(
                f"this server can keep no uploads ({error.strerror}): ask its owner to see to the rights of its cache"
            ) from error
    _WHOSE[st.session_state[FOLDER]] = user()
    return Path(st.session_state[FOLDER].name)


def _uploads() -> Path:
    return paths.cache() / "uploads"
