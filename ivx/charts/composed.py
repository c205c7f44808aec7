"""A composed figure: several figures as one picture that says what it is, wherever it is pasted.

Above them stand a title and of what they are (checkpoint, task, number of samples), below them the caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from ivx.charts.figure import part
from ivx.charts.palette import LIGHT, Palette

WIDEST = 1500
"""Pixels of a row of figures, which a figure that is wider has to itself."""
LEAST = 620
"""Least width of text, in pixels."""
CROWN = 38
"""Pixels between a figure and its title, beside one whose columns are named above it."""
MARGIN = 70
"""Pixels that a figure takes beside its plot, for labels and a legend."""
LETTER, LINE, SMALL = 5.7, 15, 11
"""Mean width of a letter of the caption, height of its lines, and its size, in pixels."""


def composed(
    figures: Sequence[dict[str, Any]],
    *,
    title: str,
    about: Sequence[str],
    captions: Sequence[str],
    palette: Palette = LIGHT,
) -> dict[str, Any]:
    """The Vega-Lite spec of one picture; `about` are the lines under its title, `captions` paragraphs under all. Each
    figure keeps its own title.

    Its `description` is all that is written in it, for whoever cannot see it.
    """
    p, rows = palette, _rows(figures)
    wide = max(LEAST, *(sum(map(_width, row)) for row in rows))
    letters = round(wide / LETTER)
    params = {param["name"]: param for spec in figures for param in spec.get("params", [])}
    told = [line for said in about for line in wrap(said, letters)]
    return {
        "$schema": figures[0]["$schema"],
        "description": " ".join([*about, *captions]),
        "background": p.background,
        "padding": 18,
        "config": _config(figures, p),
        "params": list(params.values()),
        "title": {
            "text": wrap(title, round(letters * 0.62)),
            "subtitle": told,
            "anchor": "start",
            "frame": "group",
            "fontSize": 18,
            "subtitleFontSize": 12.5,
            "subtitleLineHeight": 17,
            "subtitlePadding": 6,
            "offset": 20,
        },
        "spacing": 26,
        "vconcat": [*map(_row, rows), *_under(captions, wide, p)],
        "align": "none",
    }


def _width(spec: dict[str, Any]) -> int:
    return int(spec["width"]) + MARGIN


def _rows(figures: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The figures in rows, in their order."""
    rows: list[list[dict[str, Any]]] = [[]]
    for spec in figures:
        if rows[-1] and sum(map(_width, rows[-1])) + _width(spec) > WIDEST:
            rows.append([])
        rows[-1].append(spec)
    return rows


def _row(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures side by side, each on its own scale of colours, with their titles on one line."""
    lines = [len(_lines(spec)) for spec in figures]
    crowned = list(map(_is_crowned, figures))
    parts = []
    for spec, own, high in zip(figures, lines, crowned, strict=True):
        told = spec["title"] if isinstance(spec["title"], dict) else {"text": spec["title"], "anchor": "start"}
        told = {**told, "fontSize": 13, "frame": "group", "subtitle": [*_lines(spec), *[" "] * (max(lines) - own)]}
        if any(crowned) and not high:
            told["offset"] = CROWN
        parts.append(part({**spec, "title": told}))
    return {"hconcat": parts, "spacing": 34, "resolve": {"scale": {"color": "independent"}}}


def _lines(spec: dict[str, Any]) -> list[str]:
    """The lines under a figure's title."""
    under = spec["title"].get("subtitle", []) if isinstance(spec["title"], dict) else []
    return [under] if isinstance(under, str) else list(under)


def _is_crowned(spec: dict[str, Any]) -> bool:
    """Whether a figure's columns are named above it."""
    return any(
        ((layer.get("encoding", {}).get("x") or {}).get("axis") or {}).get("orient") == "top" for layer in spec["layer"]
    )


def _config(figures: Sequence[dict[str, Any]], p: Palette) -> dict[str, Any]:
    """The settings of all of them, with the inks of one palette for what they leave to chance."""
    found: dict[str, Any] = {
        "title": {"color": p.ink, "subtitleColor": p.muted, "fontSize": 13, "subtitleFontSize": 11},
        "legend": {"labelColor": p.muted, "titleColor": p.muted},
        "axis": {"labelColor": p.muted, "titleColor": p.muted},
    }
    for spec in figures:
        for name, value in spec["config"].items():
            found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


def _under(captions: Sequence[str], wide: int, p: Palette) -> list[dict[str, Any]]:
    """The captions as a figure of text; none where there are none."""
    lines = [line for said in captions for line in wrap(said, round(wide / LETTER))]
    if not lines:
        return []
    mark = {
        "type": "text", "text": lines, "align": "left", "baseline": "top", "fontSize": SMALL, "lineHeight": LINE,
        "color": p.muted, "x": 0, "y": 0,
    }  # fmt: skip
    return [{"data": {"values": [{}]}, "mark": mark, "width": wide, "height": LINE * len(lines)}]
