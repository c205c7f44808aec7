"""What a page knows of a checkpoint before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from tokenizers import Tokenizer

from ivx.errors import CheckpointError, IvxError
from ivx.jobs import identity
from ivx.jobs.shipped import texts_of
from ivx.jobs.worker import worker
from ivx.models import files, gguf, judge, library, wheels
from ivx.models.contents import TOKENIZER, contents_of
from ivx.models.paths import parts
from ivx.models.registry import CHECKPOINTS, FETCHED, PLANTED, TAUGHT, embedded, fetched
from ivx.tasks.label import label_of
from ivx.ui.kit import address, roots
from ivx.ui.kit.address import AUTO, LOADING, OTHERS

RECENT, MOST_RECENT = "checkpoints/recent", 8
"""The store's document of the checkpoints that were opened last, and how many it names."""


def token_of(result: Any) -> Callable[[int], str]:
    """A function from token id to text. An imported run's checkpoint name is untrusted, so it is not looked up."""
    name = result.request.checkpoint
    if identity.is_away(name):
        told = texts_of(worker().store, result.run_id)
        return lambda i: label_of(told.get(str(i), f"#{i}"))
    if result.receipt.get("imported") and embedded(name) is None and not (fetched(name) and wheels.is_here(name)):
        return lambda i: f"#{i}"
    return _token(name)


@cache
def _token(checkpoint: str) -> Callable[[int], str]:
    folder = files.locate(checkpoint)
    held = contents_of(folder, name=checkpoint).files
    # Read without transformers, so that a stored run is drawn at once.
    if judge.is_trusted(folder) and "tokenizer.json" in held:
        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda i: label_of(fast.id_to_token(i))
    slow = library.tokenizer(folder, name=checkpoint)
    return cache(lambda i: label_of(slow.convert_ids_to_tokens(i)))


@cache
def has_chat_template(checkpoint: str) -> bool:
    """Whether a checkpoint's tokenizer can put a text into a chat turn; from its files alone."""
    folder = files.locate(checkpoint)
    if gguf.is_one(folder):
        return bool(gguf.header_of(folder, name=checkpoint).keys.get("tokenizer.chat_template"))
    held = contents_of(folder, name=checkpoint)
    if "chat_template.jinja" in held.files or "chat_template.json" in held.files:
        return True
    return TOKENIZER in held.files and bool(held.document(TOKENIZER).get("chat_template"))


def layers_of(checkpoint: str) -> int:
    """How many layers a checkpoint has, from its config alone, or as runs of it came with ivx."""
    away = identity.kept(checkpoint)
    return away.layers if away is not None else _layers_of(checkpoint)


@cache
def _layers_of(checkpoint: str) -> int:
    folder = files.locate(checkpoint)
    if gguf.is_one(folder):
        header = gguf.header_of(folder, name=checkpoint)
        return int(header.keys[f"{header.architecture}.block_count"])
    told = files.read_config(folder, name=checkpoint)
    told |= told.get("text_config") or {}
    found = next((told[name] for name in ("num_hidden_layers", "n_layer", "num_layers") if name in told), None)
    return int(found or library.layers(folder))


def rows_of(*checkpoints: str) -> int:
    """How many rows a map of these checkpoints will have; 0 where none of their configs can be read."""
    found = []
    for name in checkpoints:
        with suppress(IvxError):  # its request is refused for it, with its reason
            found.append(layers_of(name))
    return max(found, default=0)


@cache
def heads_of(checkpoint: str) -> int:
    """How many heads a layer has, from a config alone; 0 where that does not say."""
    try:
        folder = files.locate(checkpoint)
        if gguf.is_one(folder):
            header = gguf.header_of(folder, name=checkpoint)
            return int(header.keys.get(f"{header.architecture}.attention.head_count", 0))
        told = files.read_config(folder, name=checkpoint)
    except IvxError:
        return 0
    told |= told.get("text_config") or {}
    return int(next((told[name] for name in ("num_attention_heads", "n_head", "num_heads") if name in told), 0))


def checkpoints() -> list[str]:
    """The checkpoints to choose from: embedded, fetched, and those this session has opened."""
    found = [c.name for c in CHECKPOINTS if c.path is not None and c.path.is_dir()]
    found += [c.name for c in (*FETCHED, *TAUGHT) if wheels.is_here(c.name) or identity.is_away(c.name)]
    found += [c.name for c in PLANTED]
    found += [name for name, *_ in _others() if name not in found]
    return [name for name in found if roots.offered(name)]


def _others() -> list[tuple[str, ...]]:
    """Those that this session opened, with how; on somebody's own server it begins with those of earlier ones."""
    if OTHERS not in st.session_state:
        st.session_state[OTHERS] = []
        for name, *how in recent() if roots.own() else []:
            with suppress(CheckpointError):  # what has gone since is not listed
                _readable(name)
                st.session_state[OTHERS].append((name, *how))
    others: list[tuple[str, ...]] = st.session_state[OTHERS]
    return others


def recent() -> list[list[str]]:
    """The checkpoints that were opened last on this machine, each with how it was loaded; the latest comes last."""
    match worker().store.get(RECENT):
        case list(found):
            return [one for one in found if isinstance(one, list) and [type(part) for part in one] == [str] * 4]
    return []


class Choice(NamedTuple):
    """The checkpoints to choose from; and the one that the view names, and why, if it is not among them."""

    names: list[str]
    absent: str = ""
    why: str = ""


def choice(first: str) -> Choice:
    """Set the control of the checkpoint, drawn next, to the view's, which is opened if this machine has it.

    One that cannot be opened leaves the control empty: no other takes its place. `first` is for a view that names none.
    """
    asked, why = address.asked("checkpoint"), ""
    if asked:
        why = why_absent(asked)
    names = checkpoints()
    if why:
        st.session_state["checkpoint"] = None
        return Choice(names, asked, why)
    address.hold("checkpoint", first if first in names else names[0], names)
    return Choice(names)


def why_absent(name: str) -> str:
    """Why a checkpoint that the address names cannot be chosen; empty where it can, or was now opened again."""
    if name not in checkpoints():
        try:
            _reopen(name)
        except CheckpointError as error:
            return str(error)
    return ""


def _reopen(name: str) -> None:
    """Open a checkpoint from where the app may read, loaded as the address says; nothing is fetched.

    Raises:
        CheckpointError: it is not on this machine, is no checkpoint, or lies elsewhere.
    """
    _readable(name)
    opened(name, *(st.query_params.get(word, AUTO) for word in LOADING))


def _readable(name: str) -> None:
    """Refuse a checkpoint that is not on this machine, is none, or lies elsewhere; nothing is fetched."""
    roots.within(name)
    folder = files.locate(name, fetch=False)
    _, adapter = parts(name)
    if adapter is not None and not Path(adapter).expanduser().is_dir():
        raise CheckpointError(f"there is no adapter {adapter!r}")
    if gguf.is_one(folder):
        gguf.header_of(folder, name=name)
    else:
        files.read_config(folder, name=name)


def opened(name: str, *how: str) -> None:
    """Let this session choose a checkpoint, loaded like this, as `LOADING` names it."""
    st.session_state[OTHERS] = [*(one for one in _others() if one[0] != name), (name, *how)]
    if roots.own():
        kept = [one for one in recent() if one[0] != name]
        worker().store.put(RECENT, [*kept, [name, *how]][-MOST_RECENT:])


def collection_of(name: str) -> str:
    """The task collection that fits a checkpoint."""
    known = embedded(parts(name)[0])
    return known.collection if known else "english"


def loading(name: str, *, exact: bool = False) -> dict[str, str]:
    """What was chosen when a checkpoint was opened in this session; float32 or float64 where it must be `exact`."""
    chosen = {opened: dict(zip(LOADING, how, strict=True)) for opened, *how in st.session_state.get(OTHERS, [])}
    found = chosen.get(name, {})
    return found | {"dtype": "float64" if found.get("dtype") == "float64" else "float32"} if exact else found
