"""Lens grids on a page and in files: their columns, charts and legend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
import vl_convert
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.lens.result import LensCell, Reading
from ivx.charts.figure import noted
from ivx.charts.frame import CROWDED
from ivx.charts.lens import SHADES, lens_grid
from ivx.charts.palette import LIGHT, Palette
from ivx.engine.address import Spot
from ivx.patching import gate


def columns(tokens: Sequence[int]) -> list[DeltaGenerator]:
    """A column per grid, as wide as its tokens need, within limits."""
    return st.columns([3 + max(4, min(14, count)) for count in tokens], gap="medium")


def named(spot: Spot) -> str:
    """A cell as it stands in links: `layer.position`."""
    return f"{spot.layer}.{spot.position}"


def spec_of(
    name: str,
    reading: Reading | None,
    *,
    tokens: Sequence[str],
    layers: int,
    spot: Spot | None,
    target: Reading | None,
    palette: Palette,
) -> dict[str, Any]:
    """The chart of the `source`, the `target` or the `patched` grid; its empty frame without a reading."""
    patched = name == "patched"
    before: tuple[LensCell, ...] = target.cells if patched and target is not None else ()
    return lens_grid(
        reading.cells if reading is not None else (),
        tokens,
        layers=layers,
        palette=palette,
        by="change" if patched else "probability",
        before=before,
        chosen=spot,
        taken=name == "source",
        row_labels=name != "patched",
        row=(38 if palette.letters == 1 else 32) if layers <= CROWDED else 16,
        alt_text=f"{name} prompt: the top word of every layer’s stream at every token",
    )


def legend(p: Palette) -> None:
    """What the shades, the greys and the outlines mean."""

    def ramp(by: str) -> str:
        colours = ",".join(p.diverging[i] for i in SHADES[by])
        return f'<span class="ramp" style="background:linear-gradient(to right,{colours})"></span>'

    st.html(
        f'<div class="ivx-legend"><span>0{ramp("probability")}100%, probability of the top word</span>'
        f"<span>0{ramp('change')}100%, changed by the patch</span>"
        f'<span><span class="box" style="background:{p.nothing}"></span>the patch cannot reach it</span>'
        "<span><b>bold</b> another word than before</span>"
        f'<span style="color:{p.orange}">▢ taken</span><span>▢ put</span></div>'
    )


def as_json(readings: Mapping[str, Reading]) -> str:
    """Every grid with its tokens, texts and receipt, behind what must be said first."""
    said = next((told for reading in readings.values() if (told := gate.sentence(reading.receipt))), "")
    grids = {name: reading.summary() for name, reading in readings.items()}
    return json.dumps({**({"note": said} if said else {}), **grids}, ensure_ascii=False, indent=1)


def as_svg(name: str, reading: Reading, spot: Spot, target: Reading) -> str:
    """One grid as it would be printed."""
    spec = spec_of(name, reading, tokens=reading.tokens, layers=reading.layers, spot=spot, target=target, palette=LIGHT)
    said = noted({"title": "", **spec, "width": 70 * len(reading.tokens)}, gate.sentence(reading.receipt))
    return str(vl_convert.vegalite_to_svg(said, allowed_base_urls=[]))
