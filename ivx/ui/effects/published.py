"""As published, on the page Effects: the paper's map beside the same question as ivx asks it, on one scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import streamlit as st

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.published import AS_PUBLISHED, CORRECTED, DIFFERENT, METRIC, corrected
from ivx.charts.figure import tile
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette
from ivx.engine.address import STREAM
from ivx.jobs.job import View
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.ui.kit import address, asking, evidence, exports, maps, pieces, places, progress, session
from ivx.ui.kit.readings import reading

Views = Mapping[str, View | None]
CHOICES: dict[str, object] = {
    **asking.INITIAL,
    "format": AS_PUBLISHED["target_format"],
    "spelling": AS_PUBLISHED["spelling"],
    "worded": str(AS_PUBLISHED["wording"]),
    "source": AS_PUBLISHED["source_token"],
    "position": AS_PUBLISHED["position"],
    "token": "",
    "direction": "denoise",
    "sites": [STREAM],
    "layers": "",
    "heads": "",
    "metric": METRIC,
    "cell": "",
    "placed": places.AS_PUBLISHED,
}
"""The controls' values that ask as the paper does."""


def switch(usual: Mapping[str, object], *, on: bool) -> None:
    """A line that says which way the page asks, and the button to the other."""
    line, button = st.columns([6, 1], gap="small", vertical_alignment="center")
    with line:
        pieces.note(
            "Asked as the paper asks, and beside it as ivx does: the same queries, layers and place." if on else ""
        )
    told = {**CHOICES, **usual, "source": "t_inst", "metric": "contrast", "cell": "", "placed": ""} if on else CHOICES
    button.button(
        "As ivx asks" if on else "Ask as published",
        key="published",
        type="tertiary",
        on_click=lambda: st.session_state.update(told),
        help=f"To {CORRECTED}." if on else f"As in the paper: {DIFFERENT}. The corrected map stands beside it.",
    )


def show(
    request: EffectsRequest,
    metric: str,
    p: Palette,
    *,
    blank: Callable[[View | None], None],
    parts: Mapping[str, str],
) -> None:
    """Both maps as they fill; `blank` draws the page while the published one has none, `parts` are its address."""
    asked = {"published": request, "corrected": corrected(request)}

    def draw(views: Views) -> None:
        now = views["published"]
        if now is None or now.result is None or now.state in ("refused", "failed"):
            blank(now)
        else:
            _draw(asked, views, now, metric, p)
        address.to_url(**parts, cell=address.from_url("cell", ""))

    address.to_url(**parts, cell=address.from_url("cell", ""))
    progress.follow_several(asked, draw=draw)


def _draw(asked: Mapping[str, EffectsRequest], views: Views, now: View, metric: str, p: Palette) -> None:
    theirs: Effects = now.result
    beside = views["corrected"]
    ours: Effects | None = None if beside is None else beside.result
    pieces.distrust(theirs.receipt)
    maps.prompts(theirs)
    found = {"published": theirs.cells(STREAM, metric), "corrected": [] if ours is None else ours.cells(STREAM, metric)}
    scale = scale_of([cell.value for cells in found.values() for cell in cells if cell.state != "estimate"])
    own = maps.chosen_of({STREAM: found["corrected"]})
    first = None if own is None else own.patch
    chosen = {"published": maps.chosen_of({STREAM: found["published"]}, first=first), "corrected": own}
    one, two, three = st.columns(maps.COLUMNS, gap="medium")
    with one:
        pieces.head("As published", "each mean stands, untested")
        _map(theirs, [replace(c, state="ok") for c in found["published"]], scale, chosen["published"], p, "published")
        if now.live:
            progress.under(asked["published"], now, key="stop-published")
        else:
            pieces.reading(_untested(found["published"], metric), theirs.receipt)
            pieces.note(f"Asked by {DIFFERENT}.")
    with two:
        pieces.head("Corrected", "beside another task’s vector")
        if ours is not None and beside is not None:
            _map(ours, found["corrected"], scale, chosen["corrected"], p, "corrected")
            if beside.live:
                progress.under(asked["corrected"], beside, key="stop-corrected")
            else:
                against = ours.controlled(STREAM, metric)
                pieces.reading(reading(found["corrected"], ours.maps[STREAM], metric=metric, against=against))
                pieces.note(f"Asked by {CORRECTED}.")
        elif beside is not None and beside.live:
            pieces.note(progress.waiting(asked["corrected"], beside))
        elif beside is not None and beside.message:
            pieces.note(f"It cannot be measured: {beside.message}")
        elif st.button("Measure the corrected map", key="measure-corrected"):
            session.start(asked["corrected"])
            st.rerun()
    with three:
        name = "published" if chosen["corrected"] is None else "corrected"
        result, cell = (theirs if name == "published" else ours), chosen[name]
        if result is not None and cell is not None:
            pieces.note(f"The chosen cell {'as published' if name == 'published' else 'corrected'}:")
            view = views[name]
            live = view is not None and view.live
            evidence.card(result, cell, metric, live=live, link=_link(result, metric, cell), p=p, more=lambda: None)
    pieces.legend(p, scale, find(metric).unit, pending=now.live, ends=find(metric).ends)
    exports.foot(theirs, metric, live=now.live)


def _link(result: Effects, metric: str, cell: Cell) -> str:
    return address.to_view(run=result.run_id, metric=metric, cell=cell.patch)


def _map(result: Effects, cells: list[Cell], scale: float, chosen: Cell | None, p: Palette, name: str) -> None:
    labels = [column.label for column in result.maps[STREAM]]
    maps.drawn(
        [tile(cell, labels) for cell in cells],
        labels,
        result,
        STREAM,
        scale,
        p,
        key=f"map-{name}-{result.run_id}",
        selected=None if chosen is None else (chosen.layer, chosen.column),
        told=f"Effect map, {name}, {result.layers} layers at the first token",
    )


def _untested(cells: list[Cell], metric: str) -> str:
    """The largest mean, which no test and no control has been put to."""
    done = [cell for cell in cells if cell.state not in ("estimate", "undefined")]
    if not done:
        return ""
    most = max(done, key=lambda cell: cell.value)
    value = f"{signed(most.value, 2)} {find(metric).unit}"
    return f"The largest mean is {value}, at layer {most.layer}: as published, with no test and no control."
