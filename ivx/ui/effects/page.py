"""The Effects page's parts: its controls, its maps as they fill, and the card of the chosen cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses import defaults as glance
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.place.found import At
from ivx.analyses.published import is_published
from ivx.charts.numbers import scale_of
from ivx.charts.palette import Palette
from ivx.engine.address import SITES
from ivx.jobs.job import View
from ivx.patching.cells import Cell
from ivx.stats.metrics import METRICS, find
from ivx.ui.effects import published, scan
from ivx.ui.kit import (
    address,
    asking,
    blanks,
    checkpoints,
    choices,
    evidence,
    exports,
    following,
    glossary,
    maps,
    moving,
    pieces,
    pinned,
    places,
    progress,
    session,
)
from ivx.ui.kit.choices import SAMPLES, SITES_SHOWN, TOKENS, chosen, listed, placed, popover, several
from ivx.ui.kit.readings import reading
from ivx.vocabulary import DIRECTION, DIRECTIONS, OTHERS, POSITION, SHOWN_CONTROLS, source_token

JUDGED = "{}; judged together with the first map, the primary one"
SOURCES = {"t_inst": "T_inst", "keyword": "keyword", "all": "each"}
Asked = EffectsRequest | ScanRequest
KINDS = ("effects", "scan")
UNDEFINED = "What the instruction moves is not told from 0 here, told less bare: there is nothing to recover."


def controls() -> tuple[Asked | None, str]:
    """Draw the controls: checkpoint, task, metric, source token, More; for a stored run only the metric, no request."""
    if address.from_url(address.RUN, ""):
        return None, choices.metric(session.run_strip(KINDS, choices.line_of), choices.MORE_METRICS)
    one, two, three, four, five = st.columns([1.42, 0.86, 0.66, 1.12, 0.52], gap="small", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    following.follow(task, checkpoint)
    metric = choices.metric(three, choices.MORE_METRICS)
    told = address.from_url("direction", "denoise", DIRECTIONS) != "denoise"
    opened = places.follow(task, checkpoint, way=asking.held(), published=PUBLISHED, best=_choices)
    st.session_state[OPENED] = opened
    address.hold("source", "t_inst", list(SOURCES))
    source = four.segmented_control(
        "Vector from",
        list(SOURCES),
        key="source",
        format_func=lambda s: SOURCES[s],
        required=True,
        width="stretch",
        disabled=told,
        help="The instruction’s last token (T_inst); the last token of the words that name the task (keyword); or each "
        "of its tokens, one by one: a scan.",
    )
    asked = _fields(five, task, source=str(source or "t_inst"), checkpoint=checkpoint)
    asked |= checkpoints.loading(checkpoint)
    kind = ScanRequest if asked["source_token"] == "all" else EffectsRequest
    return kind(checkpoint=checkpoint, task=task, **asked), metric


def lede(request: Asked | None, metric: str) -> str:
    """The page's one sentence."""
    stored = session.stored_run(*KINDS) if request is None else None
    asked = stored.request if stored is not None else request
    far = glossary.explained("how far the answer moves", f"{METRICS[metric].about.capitalize()}.")
    if isinstance(asked, ScanRequest):
        return f"Each cell puts the state of one of the instruction’s tokens into the bare prompt: {far}."
    shown = asked is not None and asked.demonstrations
    taken = "at the end of a run of demonstrations" if shown else "of the instructed run"
    what = {
        "denoise": f"puts one state {taken} into the bare prompt",
        "noise": "puts one state of the bare prompt into the instructed run",
        "resample": "puts one state of another sample, told the same, into the instructed run",
        "zero": "sets one state of the instructed run to 0",
        "mean": "sets one state of the instructed run to its mean over samples",
    }[asked.direction if asked is not None else "denoise"]
    joint = "" if asked is None else asked.joint
    return f"Each cell {what}{f', <b>{joint} at once</b>' if joint else ''}: {far}."


def show(request: Asked | None, metric: str, p: Palette) -> None:
    """The maps of a request: started at once on an embedded checkpoint, on a click on any other; or a stored run's."""

    def draw(asked: Asked, now: View) -> None:
        _draw(asked, metric, now, p)

    def view(asked: Asked | None) -> dict[str, str]:
        told = {"metric": metric} if asked is None else _parts(asked, metric)
        return told | {name: address.from_url(name, "") for name in ("cell", maps.PIN)}

    if request is not None:
        as_published = is_published(request)
        if not as_published:
            following.said()
            places.said(st.session_state[OPENED])
        published.switch(EFFECTS, on=as_published)
        if as_published and isinstance(request, EffectsRequest):
            blank = partial(_blank, request, p=p)
            published.show(request, metric, p, blank=blank, parts=_parts(request, metric))
            return
    progress.follow_or_open(request, KINDS, draw=draw, blank=lambda asked, now: _blank(asked, now, p), view=view)


def _parts(request: Asked, metric: str) -> dict[str, str]:
    source = st.session_state.get("source", "t_inst")
    told = {"checkpoint": request.checkpoint, "task": request.task, "metric": metric, "source": source}
    return told | choices.parts_of(EFFECTS)


def _draw(request: Asked, metric: str, now: View, p: Palette) -> None:
    result = now.result
    pieces.distrust(result.receipt)
    at = _at(result)
    maps.prompts(result, at=None if at is None else at.position)
    found = {site: result.cells(site, metric) for site in result.maps}
    chosen = maps.chosen_of(found, first=None if at is None else maps.cell_at(result, at))

    places = st.columns(maps.COLUMNS, gap="medium")
    panels = scan.panels if isinstance(result.request, ScanRequest) else _panels
    panels(result, found, metric, chosen, now, p, places, under=lambda: progress.under(request, now))
    with places[2]:
        if chosen is not None:
            kept = pinned.of(result, found, chosen)
            view = {"cell": chosen.patch} | ({} if kept is None else {maps.PIN: kept.patch})
            link = address.link(result, **_parts(request, metric), **view)
            if kept is None or kept.patch == chosen.patch:
                more = partial(pinned.button, chosen, kept)
                evidence.card(result, chosen, metric, live=now.live, link=link, p=p, more=more)
            else:
                pinned.beside(result, kept, chosen, metric, link=link, p=p)
    if all(c.state == "undefined" for cells in found.values() for c in cells):
        pieces.note(UNDEFINED if metric == "recovery" else "")
    pending = any(c.state == "estimate" for cells in found.values() for c in cells)
    pieces.legend(p, _scale(next(iter(found.values()))), find(metric).unit, pending=pending, ends=find(metric).ends)
    pieces.secondary(metric)
    exports.foot(result, metric, live=now.live)


def _panels(
    result: Effects,
    found: Mapping[str, Sequence[Cell]],
    metric: str,
    chosen: Cell | None,
    now: View,
    p: Palette,
    places: Sequence[DeltaGenerator],
    *,
    under: Callable[[], None],
) -> None:
    """Draw two maps beside the card, further ones below; `under` draws under the first until all is done."""
    places = places[:2]
    while len(places) < len(result.maps):
        places = [*places, *st.columns(maps.COLUMNS, gap="medium")[:2]]
    first, at = next(iter(found)), _at(result)
    # The maps share a unit, not a scale: heads move far less than the stream, so their map has its own and says so.
    for (site, cells), place in zip(found.items(), places, strict=False):
        scale = _scale(cells)
        own = f" Its own scale: ±{scale:g}." if site != first and scale != _scale(found[first]) else ""
        with place:
            head = site == "z"
            pieces.head(
                f"Layer × {'head' if head else 'position'}",
                progress.status(now) if now.live else _measured(result, site),
                more="" if site == first or now.live else JUDGED.format(_measured(result, site)),
            )
            if chosen is not None and chosen.site == site and not now.live:
                moving.watch(result, chosen, metric, key=site)
            direction = result.request.direction
            bold = maps.column_at(result, at) if not head and direction == "denoise" else None
            maps.cells_map(result, site, cells, scale, chosen, p, bold=bold)
            against = result.controlled(site, metric)
            said = reading(cells, result.maps[site], metric=metric, against=against, direction=direction)
            if now.state == "done":
                pieces.reading(said + own, result.receipt)
                if result.part and site == first:
                    pieces.note(f"{result.part[0].upper()}{result.part[1:]}.")
            elif site == first:
                under()


def _scale(cells: Sequence[Cell]) -> float:
    return scale_of([cell.value for cell in cells if cell.state != "zero"])


def _measured(result: Effects, site: str) -> str:
    """What a map measures, beside its name."""
    asked = result.request
    if site == "z":
        where = (
            "all positions"
            if asked.direction in ("zero", "mean") and asked.position == "all"
            else "the answer position"
        )
        return f"z at {where}" + ("" if asked.direction == "denoise" else f", {asked.direction}")
    source = source_token(asked.source_token).label
    return f"{site} ← {source}" if asked.direction == "denoise" else f"{site}, {asked.direction}"


def _blank(request: Asked, now: View | None, p: Palette) -> None:
    scans = isinstance(request, ScanRequest)
    plain = isinstance(request, EffectsRequest) and request.direction == "denoise"
    layers, heads = checkpoints.rows_of(request.checkpoint), checkpoints.heads_of(request.checkpoint)
    names = (
        ("Layer × source token", "The same tokens, each fed alone") if scans else ("Layer × position", "Layer × head")
    )
    columns = (("",) * maps.BLANK, ("",) * maps.BLANK if scans or not heads else [str(head) for head in range(heads)])

    def axes(told: str) -> DeltaGenerator:
        *panels, card = st.columns(maps.COLUMNS, gap="medium")
        for panel, name, labels in zip(panels, names, columns, strict=True):
            with panel:
                pieces.head(name, told)
                maps.blank(layers, p, labels)
        return card

    every = "Every layer × source token" if scans else "Every layer × position and head"
    controls = len(request.controls)
    blank = blanks.Blank(
        f"{every} on {request.samples} samples, each cell beside its {controls} control{'s' * (controls > 1)}.",
        "Run the maps",
        axes,
        search=lambda: places.first(request) if plain else None,
    )
    blanks.show(request, now, blank)


DIRECTED = {name: f"{name}: {direction.label}" for name, direction in DIRECTION.items()}
TAKEN = {"": "as in the strip"} | {name: source_token(name).label for name in ("before", "first", *TOKENS)}
PUBLISHED = {"source": "t_inst", "token": ""}
"""What the choice of a source token is as published, by the controls' keys."""
OPENED = "ivx.effects.opened"


def _choices(at: At) -> dict[str, str]:
    """The controls' values that mean a place's source token."""
    if at.source_token in SOURCES:
        return {"source": at.source_token, "token": ""}
    return {"source": "t_inst", "token": at.source_token} if at.source_token in TAKEN else {}


def _at(result: Effects) -> At | None:
    """The place, where the page stands there and this map is of its source token."""
    opened = st.session_state.get(OPENED)
    asked, at = result.request, None if opened is None else opened.at
    if at is None or address.from_url(address.RUN, "") or asked.kind != "effects" or asked.direction != "denoise":
        return None
    return at if asked.source_token == at.source_token else None


BESIDE = {"1": "one", "2": "two, the stronger counts", "3": "three, the strongest counts"}
WINDOW = {"1": "one", "2": "two", "3": "three around each", "5": "five around each", "10": "ten around each"}
SPAN = {"1": "one", "2": "two, from each on", "3": "three, from each on", "5": "five, from each on"}
TOGETHER = "Cells patch a sliding window of layers, or a range of tokens, at once. Heads have none."
EFFECTS = {
    "direction": "denoise",
    "sites": SITES_SHOWN,
    "position": "all",
    "token": "",
    "others": "1",
    "layers": "",
    "heads": "",
    "window": "1",
    "span": "1",
    **asking.INITIAL,
    **asking.PLAIN,
    **places.PLAIN,
    "n": SAMPLES["effects"],
}


def _fields(place: DeltaGenerator, task: str, *, source: str, checkpoint: str) -> dict[str, Any]:
    """Fields of an effects or scan request other than checkpoint and task; `source` is the control's value."""
    with popover(place, EFFECTS):
        direction = chosen("direction", "Direction", DIRECTED, "denoise")
        sites = several("sites", "Sites", SITES, SITES_SHOWN)
        position = chosen("position", "Patched at", placed(*POSITION), "all")
        told = direction != "denoise"
        token = chosen("token", "Vector from", TAKEN, "", disabled=told, help="A token of the instruction by number.")
        more = chosen("others", "Other tasks as controls", BESIDE, "1", disabled=source == "all")
        common = asking.asking("n", SAMPLES["effects"])
        layers = listed("layers", "Layers", "All, or such as 4-17 or 0,3,8-11.")
        heads = listed("heads", "Heads", "All, or such as 0,3.") if "z" in sites else ""
        alone, there = source == "all", checkpoints.rows_of(checkpoint)
        windows = {k: name for k, name in WINDOW.items() if not there or int(k) <= there}
        window = chosen("window", "Layers patched together", windows, "1", disabled=alone, help=TOGETHER)
        span = chosen("span", "Tokens patched together", SPAN, "1", disabled=alone, help=TOGETHER)
        if told:
            st.caption("The told run’s tokens align by what they are: T_inst, query, answer cue.")
    source = "t_inst" if told else token or source
    source = common["source_token"] = asking.taken(source, common)
    if source == "all":
        asked = tuple(site for site in sites if site != "z") or ("resid_post",)
        return common | {"sites": asked, "position": "first" if position == "all" else position, "layers": layers}
    if (window, span) != ("1", "1"):
        sites, heads = tuple(site for site in sites if site != "z") or ("resid_post",), ""
    alike = common["wording"] is not None or glance.is_alone(task, checkpoint)
    controls = glance.controls_of(direction, sites, position, alike=alike)
    controls += OTHERS[: int(more) - 1]
    if common["demonstrations"]:
        controls += SHOWN_CONTROLS
    return (
        common
        | {"direction": direction, "sites": sites, "position": position, "controls": controls}
        | {"layers": layers, "heads": heads, "window": int(window), "span": int(span)}
    )
