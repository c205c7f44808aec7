"""Choosing a checkpoint that is not open: from a folder, from the hub, or dropped onto the page.

What is chosen is only looked at: `LOOK` names it until it is opened.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from ivx.errors import CheckpointError
from ivx.models.adapters import CONFIG, WEIGHTS
from ivx.models.folders import Entry, entries
from ivx.models.registry import PUBLIC
from ivx.ui.kit import pieces, roots

LOOK = "look"
"""Key of the name that is looked at, in the session and the address."""
FOLDER = "ivx.checkpoints.folder"
"""The folder that is browsed."""
SHOWN = 40
HEIGHT = 268
LARGEST_MB = 4_000
NOT_PLAIN = re.compile(r"[^\w.-]+|^\.+")
"""What no file is called here, whatever a browser says."""
ICONS = {"folder": ":material/folder:", "adapter": ":material/extension:", "up": ":material/arrow_upward:"}


def tabs() -> None:
    """Draw the three ways."""
    folder, hub, dropped = st.tabs(["A folder", "The hub", "Drop a file"])
    with folder:
        _browse()
    with hub:
        _hub()
    with dropped:
        _drop()


def look(name: str) -> None:
    """Look at a checkpoint."""
    st.session_state[LOOK] = name


def size_of(count: int) -> str:
    """Bytes in the unit that suits them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6)):,} MB"


def _browse() -> None:
    allowed = [root for root in roots.allowed() if root.is_dir()]
    here = st.session_state.get(FOLDER)
    folder = None if here is None else Path(here).resolve()
    if folder is not None and not any(folder.is_relative_to(root) for root in allowed):
        folder = None
    with st.container(key="ivx-browse", height=HEIGHT, border=True, gap=None):
        if folder is None:
            for root in allowed:
                _line(str(root), "folder", key=f"root-{root}", act=_enter, to=root)
            return
        up = folder.parent if any(folder.parent.is_relative_to(root) for root in allowed) else None
        _line(folder.name or str(folder), "up", key="ivx-browse-up", act=_enter, to=up)
        try:
            found = entries(folder, among=allowed)
        except CheckpointError as error:
            pieces.note(str(error))
            return
        for entry in found[:SHOWN]:
            _row(entry)
        if not found:
            pieces.note("No checkpoint and no further folder lies here.")
        if len(found) > SHOWN:
            pieces.note(f"{len(found) - SHOWN} more: write the path below.")


def _row(entry: Entry) -> None:
    """One entry: a folder is entered, anything else is looked at."""
    name, key = entry.path.name, f"entry-{entry.path}"
    if entry.kind == "folder":
        _line(name, "folder", key=key, act=_enter, to=entry.path)
    else:
        _line(f"{name} · {entry.kind}, {size_of(entry.size)}", entry.kind, key=key, act=look, to=str(entry.path))


def _line(text: str, kind: str, *, key: str, act: Callable[[Any], None], to: Any) -> None:
    icon = ICONS.get(kind, ":material/deployed_code:")
    st.button(pieces.plain(text), key=key, type="tertiary", icon=icon, on_click=act, args=(to,))


def _enter(folder: Path | None) -> None:
    st.session_state[FOLDER] = None if folder is None else str(folder)


def _hub() -> None:
    with st.form("ivx-hub", border=False):
        public = ", ".join(checkpoint.name for checkpoint in PUBLIC[:3])
        name = st.text_input("Hub id or path", placeholder="org/name@revision", help=f"Such as {public}.")
        adapter = st.text_input("With an adapter", placeholder="its folder", help="LoRA, merged when it is read.")
        if st.form_submit_button("Look at it") and name.strip():
            look(f"{name.strip()}+{adapter.strip()}" if adapter.strip() else name.strip())
            st.rerun()


def _drop() -> None:
    if not roots.own():
        pieces.note("Files are taken only by a server that is one’s own. Here, name a folder or a hub id.")
        return
    given = st.file_uploader(
        f"A GGUF file, or an adapter’s {CONFIG} and {WEIGHTS}",
        type=["gguf", "safetensors", "json"],
        accept_multiple_files=True,
        max_upload_size=LARGEST_MB,
    )
    if not given:
        return
    try:
        name = str(_kept(given))
    except CheckpointError as error:
        pieces.note(f"{error}.")
        return
    if st.session_state.get(f"{FOLDER}.dropped") != name:  # once: the files stay in the control
        st.session_state[f"{FOLDER}.dropped"] = name
        look(name)
        st.rerun()


def _kept(given: list[Any]) -> Path:
    """Keep dropped files under the hash of their content; returns the GGUF file or the adapter's folder.

    Raises:
        CheckpointError: they are neither one GGUF file nor an adapter's two files.
    """
    named = {one.name.rpartition("/")[2]: one for one in given}
    packed = [name for name in named if name.endswith(".gguf")]
    if not (len(named) == 1 and packed) and set(named) != {CONFIG, WEIGHTS}:
        raise CheckpointError(f"{', '.join(named)} will not do: drop one GGUF file, or {CONFIG} and {WEIGHTS} together")
    seen = hashlib.sha256()
    for name in sorted(named):
        seen.update(hashlib.sha256(named[name].getbuffer()).digest())
    folder = roots.dropped() / seen.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    kept = {one: folder / (NOT_PLAIN.sub("-", name) or "model.gguf") for name, one in named.items()}
    for one, path in kept.items():
        if not path.is_file():
            half = path.with_suffix(".part")
            half.write_bytes(one.getbuffer())
            half.replace(path)
    return next(iter(kept.values())) if packed else folder
