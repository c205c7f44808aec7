"""Seeing a checkpoint before it is opened: what it is, what it takes, how it cuts a prompt, and what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from ivx.errors import CheckpointError, IvxError, MemoryRefused
from ivx.models import files, library
from ivx.models.adapters import told
from ivx.models.folders import kind_of
from ivx.models.memory import WAYS
from ivx.models.paths import parts
from ivx.models.prospect import DTYPES, prospect
from ivx.models.registry import embedded
from ivx.tasks import catalogue
from ivx.tasks.label import label_of
from ivx.tasks.samples import build
from ivx.ui.kit import checkpoints, choices, pieces, roots
from ivx.ui.kit.address import AUTO
from ivx.ui.library.choice import size_of

WEIGHTS = (
    "Whole: in memory, as they are used. Compact: in memory in the dtype of their file, half as much. Stream: from "
    "disk, a block at a time, for a model that does not fit. The numbers are the same; auto takes what fits."
)
EXAMPLE = "animal/colour"
"""The task whose prompt is shown in tokens."""
PROMPT = "Name the colour of the animal. Animal: crow. Answer:"
SECONDS = 60
"""How long what was seen is kept: files may change."""


class Seen(NamedTuple):
    """What is told of a checkpoint: facts by name; the tokens of an example, and which of them ends its instruction, −1
    where none does; and why it could not be loaded now."""

    facts: Mapping[str, str]
    tokens: tuple[str, ...]
    taken: int = -1
    refused: str = ""


def how() -> tuple[str, str, str]:
    """Draw the controls of how it is loaded, as `LOADING` names them."""
    with st.popover("How it is loaded"):
        dtype = st.selectbox("dtype", [AUTO, *DTYPES], help="Of the arithmetic: auto is float32.")
        device = st.selectbox("Device", [AUTO, "cpu", "cuda"])
        weights = st.selectbox("Weights", [AUTO, *WAYS], help=WEIGHTS)
    return str(dtype), str(device), str(weights)


def show(name: str, chosen: tuple[str, str, str]) -> bool:
    """Draw what is known of a checkpoint; returns whether it may be opened."""
    try:
        name = roots.within(name)
        if _is_away(name):
            _away(name)
            return True
        seen = _seen(name, *chosen)
    except IvxError as error:
        pieces.refusal("It cannot be opened", str(error), "Choose another one, or fix what is named above.")
        return False
    rows = "".join(
        f'<tr><td class="soft" style="width:34%">{escape(key)}</td><td>{escape(value)}</td></tr>'
        for key, value in seen.facts.items()
    )
    chips = "".join(
        f'<span class="ivx-chip{" t" if k == seen.taken else ""}">{escape(token)}</span>'
        for k, token in enumerate(seen.tokens)
    )
    st.html(
        f'<div class="ivx-card facts"><div class="top"><h2>{escape(titled(name))}</h2></div>'
        f"<table>{rows}</table><h3>An instructed prompt as its {len(seen.tokens)} tokens</h3>"
        f'<div class="ivx-chips">{chips}</div>'
        + (f"<h3>It cannot be opened now</h3><p>{escape(seen.refused)}.</p>" if seen.refused else "")
        + "</div>"
    )
    return not seen.refused


def titled(name: str) -> str:
    """A checkpoint as it is called on this page: what it is, without where it lies."""
    base, adapter = parts(name)
    return choices.short(base) + (f" with {Path(adapter).name}" if adapter and base != name else "")


def is_adapter(name: str) -> bool:
    """Whether a name is the folder of an adapter by itself; what this server may not read is not looked at."""
    with suppress(CheckpointError):
        found = kind_of(Path(roots.within(name)))
        return found is not None and found.kind == "adapter"
    return False


def bases(adapter: str) -> list[str]:
    """The checkpoints that an adapter's folder could be merged into: those whose shape it has, if any has it, else all
    that are no merged ones themselves."""
    plain = [name for name in checkpoints.checkpoints() if parts(name)[1] is None]
    return [name for name in plain if _fits(name, adapter)] or plain


@st.cache_data(max_entries=200, ttl=SECONDS, show_spinner=False)
def _fits(base: str, adapter: str) -> bool:
    with library.ALONE, suppress(IvxError):
        prospect(base, adapter=adapter, fetch=False)
        return True
    return False


def _is_away(name: str) -> bool:
    """Whether it is a hub id that would have to be fetched first."""
    base, _ = parts(name)
    if embedded(base) or Path(base).expanduser().exists() or base.count("/") != 1:
        return False
    try:
        files.locate(base, fetch=False)
    except CheckpointError:
        return True
    return False


def _away(name: str) -> None:
    size = size_of(_hub_bytes(parts(name)[0]))
    st.html(
        f'<div class="ivx-card"><div class="top"><h2>{escape(name)}</h2></div><p>Not on this machine yet. To open it '
        f"fetches <b>{size}</b> from the hub, safetensors and the tokenizer only; from then on it is here offline.</p>"
        "</div>"
    )


@st.cache_data(max_entries=50, ttl=SECONDS, show_spinner="Asking the hub …")
def _hub_bytes(name: str) -> int:
    return files.hub_bytes(name)


@st.cache_data(max_entries=50, ttl=SECONDS, show_spinner="Reading its headers …")
def _seen(name: str, dtype: str, device: str, weights: str) -> Seen:
    base, adapter = parts(name)
    with library.ALONE:
        found = prospect(base, adapter=adapter, dtype=dtype, device=device, weights=weights, fetch=False)
    config, memory = found.part.config, found.estimate
    has_template = checkpoints.has_chat_template(str(found.folder))
    shape = f"{config.num_hidden_layers} layers × {config.num_attention_heads} heads, width {config.hidden_size:,}"
    kept = found.folder.stat().st_size if found.packed else memory.file_gb * 1e9
    facts = {
        "Architecture": f"{config.model_type}, {shape}",
        "Parameters": f"{_millions(memory.parameters)}; {config.vocab_size:,} words in its vocabulary",
        "On disk": f"{size_of(int(kept))}, {'GGUF' if found.packed else 'safetensors'}",
        "In memory": f"{found.needed_gb:.1f} GB of {memory.free_gb:.1f} free, {_dtype(found.dtype)} on {found.device}"
        + ("" if found.weights == "whole" else f", {found.weights}"),
        "Quantised": f"{found.quantised}, dequantised when it is read" if found.quantised else "",
        "Adapter": told(base, Path(found.adapter)) if found.adapter else "",
        "Chat template": "yes" if has_template else "none: it is asked in plain text",
    }
    tokenizer = library.tokenizer(found.folder, name=found.name)
    refused = ""
    try:
        found.refuse_what_cannot_fit()
    except MemoryRefused as error:
        refused = str(error)
    shown = {key: value for key, value in facts.items() if value}
    return Seen(shown, *_example(name, tokenizer), refused)


def _example(name: str, tokenizer: Any) -> tuple[tuple[str, ...], int]:
    """A task's prompt in its tokens, and which of them ends the instruction; of a text, where no task fits it."""
    collection = checkpoints.collection_of(name)
    try:
        pair = catalogue.find(EXAMPLE, collection=collection)
        sample = build(pair, tokenizer, samples=1).rows[0]
        ids, taken = sample.instructed, sample.t_inst
    except IvxError:
        ids, taken = tokenizer(PROMPT)["input_ids"], -1
    return tuple(map(label_of, tokenizer.convert_ids_to_tokens(list(ids)))), taken


def _dtype(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:,.0f} million"
