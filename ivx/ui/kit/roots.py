"""Under which folders this server opens checkpoints, and whether it serves nobody but whoever started it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import streamlit as st

from ivx.errors import CheckpointError
from ivx.models import door, paths
from ivx.models.files import locate
from ivx.models.registry import embedded
from ivx.ui.kit.limits import CHECKPOINTS, limits

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
    return door.within(admitted(name), among=allowed())


def admitted(name: str) -> str:
    """A checkpoint's name, if this server's owner lets guests open it: all that come embedded are, and without a list
    all others; raises `CheckpointError` where it is not, or is larger than allowed here."""
    if embedded(name):
        return name
    most = limits()
    if most.checkpoints is not None and not any(_same(name, one) for one in most.checkpoints):
        raise CheckpointError(
            f"{name[:100]!r} is not among the checkpoints that this server opens: choose one of "
            f"{', '.join(('tiny-sft', *most.checkpoints))}, or ask its owner to add it to {CHECKPOINTS}"
        )
    if most.model_gb < float("inf"):
        _fits(name, most.model_gb)
    return name


def offered(name: str) -> bool:
    """Whether a checkpoint stands in the lists of this server."""
    listed = limits().checkpoints
    return listed is None or bool(embedded(name)) or any(_same(name, one) for one in listed)


def _same(name: str, listed: str) -> bool:
    """Whether a name means a listed checkpoint; paths are compared as they are resolved."""
    if name == listed:
        return True
    with suppress(OSError, ValueError, RuntimeError):
        return listed.startswith(("/", "~", ".")) and _place(name) == _place(listed)
    return False


def _place(name: str) -> str:
    return "+".join(str(Path(part).expanduser().resolve()) for part in name.split("+"))


def _fits(name: str, most: float) -> None:
    """Refuse a checkpoint whose files are larger than this; one that is not here yet is weighed once it is."""
    for part in filter(None, paths.parts(name)):
        try:
            folder = locate(part, fetch=False)
        except CheckpointError:
            continue
        door.refuse_larger(name, folder, most=most)
