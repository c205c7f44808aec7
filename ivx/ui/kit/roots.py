"""Under which folders this server opens checkpoints, and whether it serves nobody but whoever started it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import streamlit as st

from ivx.models import door, paths

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def own() -> bool:
    """Whether the app serves nobody but whoever started it: under this machine's own names, without signing in, and
    with no roots set."""
    named = {str(name) for name in st.get_option("server.allowedHosts") or [""]}
    signing_in = any(os.path.lexists(path) for path in st.get_option("secrets.files"))
    alone = st.get_option("server.address") in LOOPBACK and named <= LOOPBACK
    return alone and not signing_in and not os.environ.get(paths.ROOTS)


def dropped() -> Path:
    """Where checkpoints and adapters are kept that were dropped onto a page."""
    return paths.cache() / "dropped"


def allowed() -> list[Path]:
    """The folders, resolved; those of somebody's own server hold their home and what they dropped."""
    found = paths.roots()
    if own():
        with suppress(RuntimeError):  # nobody's home
            found.append(Path.home().resolve())
        found.append(dropped().resolve())
    return found


def within(name: str) -> str:
    """A checkpoint's name, if this server may read it, and its links and an adapter's base with it; raises
    `CheckpointError` where it may not."""
    return door.within(name, among=allowed())
