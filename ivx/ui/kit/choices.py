"""The popover More: what can be asked beside the strip's own controls.

Whatever differs from the default stands in the address bar, and the label counts it. Each value is set anew in every
run: what a popover holds is first made in the browser when it is opened, and would begin with its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses import defaults as glance
from ivx.analyses.game.request import PLAYERS
from ivx.engine.address import SITES
from ivx.request import Request
from ivx.tasks.prompt import FORMATS
from ivx.ui import pickers
from ivx.ui.kit import session

SITES_SHOWN = ("resid_post", "z")
"""Sites of the maps, unless others are asked for."""
SAMPLES = {"effects": glance.SAMPLES, "pairs": glance.PAIR_SAMPLES, "game": 20, "traced": 40}
TOKENS = tuple(str(i) for i in range(20))
"""Tokens that can be named by their number."""
DIRECTED = {
    "denoise": "denoise: told states into the bare prompt",
    "noise": "noise: bare states into the told run",
    "resample": "resample: another sample’s into the told run",
    "zero": "zero: set to 0 in the told run",
    "mean": "mean: set to its mean in the told run",
}
PLACED = {
    "all": "every token",
    "first": "first token",
    "query": "the query’s first token",
    "last": "last token, the answer cue",
}
PLAYED = {"layers": "layers", "heads": "heads", "components": "attention and MLP", "positions": "tokens of one layer"}
TAKEN = {"": "as in the strip", **{i: f"token {i}" for i in TOKENS}}


@contextmanager
def popover(place: DeltaGenerator, defaults: Mapping[str, Any]) -> Iterator[None]:
    """The popover; its label counts the choices that are not the default."""
    changed = len(parts_of(defaults))
    with place.popover(f"More · {changed}" if changed else "More", key="more", width="stretch"):
        yield


def parts_of(defaults: Mapping[str, Any]) -> dict[str, str]:
    """What the address bar says of these choices: those that are not the default."""
    # Before the first run has made the widgets, the address bar itself is what there is.
    now = {key: st.session_state.get(key, st.query_params.get(key, default)) for key, default in defaults.items()}
    return {key: _written(value) for key, value in now.items() if _written(value) != _written(defaults[key])}


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def chosen(key: str, label: str, shown: Mapping[str, str], default: str, **told: Any) -> str:
    """One of several, as a list."""
    session.hold(key, default, list(shown))
    return str(st.selectbox(label, list(shown), key=key, format_func=lambda one: shown[one], **told))


def several(key: str, label: str, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """Some of several names, in the order of `allowed`; the default where none is left."""
    if key not in st.session_state:
        asked = [name for name in st.query_params.get(key, "").split(",") if name in allowed]
        st.session_state[key] = asked or list(default)
    st.session_state[key] = [name for name in allowed if name in st.session_state[key]] or list(default)
    picked = st.pills(label, allowed, key=key, selection_mode="multi")
    return tuple(name for name in allowed if name in picked) or default


def counted(key: str, label: str, default: int, *, low: int, high: int) -> int:
    """A whole number."""
    if key not in st.session_state:
        asked = st.query_params.get(key, "")
        st.session_state[key] = int(asked) if asked.isdecimal() and low <= int(asked) <= high else default
    st.session_state[key] = st.session_state[key]
    return int(st.number_input(label, low, high, key=key, step=10))


EFFECTS = {
    "direction": "denoise",
    "sites": SITES_SHOWN,
    "position": "all",
    "token": "",
    "format": "prompt",
    "n": SAMPLES["effects"],
}


def effects(place: DeltaGenerator, task: str, *, source: str, checkpoint: str) -> dict[str, Any]:
    """Fields of an effects or scan request beside checkpoint and task; `source` is what the strip says."""
    with popover(place, EFFECTS):
        direction = chosen("direction", "Direction", DIRECTED, "denoise")
        sites = several("sites", "Sites", SITES, SITES_SHOWN)
        position = chosen("position", "Patched at", PLACED | {i: f"token {i}" for i in TOKENS}, "all")
        told = direction != "denoise"
        token = chosen("token", "Vector from", TAKEN, "", disabled=told, help="A token of the instruction by number.")
        form, samples = _drawn("n", SAMPLES["effects"])
        if told:
            st.caption("The told run’s tokens align by what they are: T_inst, query, answer cue.")
    source = "t_inst" if told else token or source
    common = {"target_format": form, "samples": samples, "source_token": source}
    if source == "all":
        asked = tuple(site for site in sites if site != "z") or ("resid_post",)
        return common | {"sites": asked, "position": "first" if position == "all" else position}
    controls = glance.controls_of(direction, sites, position, alike=glance.is_alone(task, checkpoint))
    return common | {"direction": direction, "sites": sites, "position": position, "controls": controls}


PAIRS = {
    "over": "layers",
    "among": ("resid_post",),
    "at": "first",
    "order": "2",
    "from": "t_inst",
    "format": "prompt",
    "pairs_n": SAMPLES["pairs"],
}
GAME = {"at": "first", "from": "t_inst", "format": "prompt", "game_n": SAMPLES["game"]}
TRACED = {"unit": "heads", "others": "mean", "traced_n": SAMPLES["traced"]}
UNITS = {"heads": "heads", "edges": "edges"}
ABLATED = {"mean": "their mean over samples", "zero": "nothing", "resample": "another sample’s", "none": "not checked"}
SOURCE = {"t_inst": "T_inst", "keyword": "keyword", **{i: f"token {i}" for i in TOKENS}}


def pairs(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of an interactions request beside checkpoint and task."""
    with popover(place, PAIRS):
        over = chosen("over", "Players", PLAYED, "layers", on_change=lambda: st.session_state.pop("among", None))
        allowed = PLAYERS.get(over, SITES)
        sites = several("among", "Sites", allowed, allowed if over in PLAYERS else ("resid_post",))
        placed = {"all": PLACED["all"]} if over == "positions" else {k: v for k, v in _placed().items() if k != "all"}
        position = chosen("at", "Patched at", placed, next(iter(placed)))
        order = chosen("order", "Sets", {"2": "pairs", "3": "pairs and triples"}, "2")
        token = chosen("from", "Vector from", SOURCE, "t_inst")
        pickers.metric(st.container())
        form, samples = _drawn("pairs_n", SAMPLES["pairs"])
    asked = {"over": over, "sites": sites, "position": position, "order": int(order)}
    return asked | {"source_token": token, "target_format": form, "samples": samples}


def game(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of a game's request beside checkpoint and task."""
    with popover(place, GAME):
        placed = {name: told for name, told in _placed().items() if name not in ("all", "last")}
        position = chosen("at", "Read at", placed, "first")
        token = chosen("from", "Vector from", SOURCE, "t_inst")
        pickers.metric(st.container())
        form, samples = _drawn("game_n", SAMPLES["game"])
    return {"position": position, "source_token": token, "target_format": form, "samples": samples}


def traced(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of a pathways request about the circuits that are tried in the real model."""
    with popover(place, TRACED):
        unit = chosen("unit", "Circuits of", UNITS, "heads", help="Tried in the real model, beside random ones.")
        ablation = chosen("others", "In the place of the others", ABLATED, "mean")
        samples = counted("traced_n", "Samples", SAMPLES["traced"], low=10, high=400)
    return {"edge_check": unit == "edges", "ablation": ablation, "samples": samples}


def _placed() -> dict[str, str]:
    return PLACED | {i: f"token {i}" for i in TOKENS}


def _drawn(key: str, default: int) -> tuple[str, int]:
    """Target format and number of samples."""
    left, right = st.columns(2, gap="small")
    with left:
        form = chosen("format", "Target format", {form: form for form in FORMATS}, "prompt")
    with right:
        return form, counted(key, "Samples", default, low=10, high=2_000)


def told_of(asked: Request) -> str:
    """A request in a line."""
    source = {"t_inst": "T_inst", "all": "each token"}.get(asked.source_token, asked.source_token)
    sites = getattr(asked, "sites", ())
    named = f"{', '.join(sites)} · " if sites else ""
    return (
        f"{asked.checkpoint} · {asked.task} · {asked.samples} samples asked for · {named}position {asked.position} · "
        f"vector from {source} · {getattr(asked, 'direction', 'denoise')}"
    )
