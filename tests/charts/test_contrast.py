"""Contrast by computation: every text that ivx colours has at least 4.5 to 1 on what it lies on (WCAG 2, AA)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert

from ivx.analyses.lens.result import LensCell
from ivx.charts.confusion import confusion
from ivx.charts.exchange import Square as Exchanged
from ivx.charts.exchange import exchange_chart
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.lens import lens_grid
from ivx.charts.palette import DARK, LIGHT, Palette
from ivx.charts.shares import shares_chart
from ivx.charts.ways import Square as Asked
from ivx.charts.ways import ways_chart

ROOT = Path(__file__).parents[2]
LEAST = 4.5
STEPS = 101
"""Values over the whole of a colour scale, at each of which a number is written."""
WIDE = STEPS * 100
PALETTES = pytest.mark.parametrize("p", [LIGHT, DARK], ids=lambda p: p.name)


def luminance(colour: str) -> float:
    """Relative luminance of a hex colour or of `rgb(…)`, by WCAG's definition."""
    if colour.startswith("#"):
        parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    else:
        parts = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in parts))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def blend(over: str, under: str, share: float) -> str:
    """`over` at an opacity on `under`."""
    pairs = zip(*([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (over, under)), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def test_the_measure_is_wcag_s() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#777777", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)
    assert blend("#000000", "#FFFFFF", 0.5) == "#808080"


@PALETTES
def test_texts_of_a_page(p: Palette) -> None:
    for name in ("ink", "muted", "blue", "orange", "tick"):
        for ground in ("background", "card"):
            assert contrast(getattr(p, name), getattr(p, ground)) >= LEAST, (name, ground)
    for name in ("ink", "muted"):
        assert contrast(getattr(p, name), p.nothing) >= LEAST, name
    assert contrast(blend(p.ink, p.background, 0.75), p.background) >= LEAST, "labels and ledes are ink at .75"


@PALETTES
def test_streamlit_s_own_theme_has_the_same_colours(p: Palette) -> None:
    for path in (".streamlit/config.toml", "ivx/ui/entry/.streamlit/config.toml"):
        theme = tomllib.loads((ROOT / path).read_text(encoding="utf-8"))["theme"][p.name]
        assert (theme["backgroundColor"], theme["textColor"], theme["primaryColor"]) == (p.background, p.ink, p.blue)
        # A primary button's text is the page's background, by the style sheet's rule for each of its kinds.
        assert contrast(p.background, theme["primaryColor"]) >= LEAST
        assert contrast(theme["textColor"], theme["secondaryBackgroundColor"]) >= LEAST


@PALETTES
def test_the_style_sheet_writes_in_readable_inks_only(p: Palette) -> None:
    sheet = (ROOT / "ivx/ui/style.css").read_text(encoding="utf-8")
    assert re.search(r'\[data-testid\^="stBaseButton-primary"\]:enabled[^{]*\{ color: var\(--ivx-background\)', sheet)
    written = re.findall(r"([^{}]+)\{([^}]*)\}", sheet)
    found = 0
    for selector, body in written:
        ink = re.search(r"(?:^|[;\s])color: (var\(--ivx-(\w+)\)|#\w+)", body)
        if ink is None:
            continue
        on = re.search(r"background: (?:var\(--ivx-(\w+)\)|(#\w{6}))", body)
        ground = (on[2] or getattr(p, on[1])) if on else p.blue if "primary" in selector else p.card
        text = getattr(p, ink[2]) if ink[2] else ink[1].replace("#fff", "#FFFFFF")
        assert contrast(text, ground) >= LEAST, selector
        found += 1
    assert found > 10


def _squares(p: Palette) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every chart that writes on colours, with values over the whole of its scale, in one long row."""
    shares = [k / (STEPS - 1) for k in range(STEPS)]
    signed = [2 * share - 1 for share in shares]
    names = [str(k) for k in range(STEPS)]
    tiles = [Tile(0, k, 9 * v, "ok", glyph="*") for k, v in enumerate(signed)]
    tiles += [Tile(1, k, 9 * v, state, glyph="*") for k, v in enumerate(signed) for state in ("zero",)]
    yield "heatmap", heatmap(tiles, names, layers=2, scale=9, palette=p)
    for by in ("probability", "change"):
        read = [LensCell(0, k, "x", (("word", v),), change=v) for k, v in enumerate(shares)]
        read += [LensCell(1, k, "x", (("word", v),), change=v, reached=False) for k, v in enumerate(shares)]
        yield f"lens by {by}", lens_grid(read, names, layers=2, palette=p, by=by)
    share = [(v, v, v) for v in shares]
    exchanged = [
        Exchanged(row, k, 9 * v, 0.0, 0.0, state, None, share[k])
        for row, state in enumerate(("ok", "zero"))
        for k, v in enumerate(signed)
    ]
    yield "exchange", exchange_chart(exchanged, names=names, scale=9, palette=p)
    yield "shares", shares_chart(exchanged, names=names, unit="logits", palette=p, height=62 * STEPS)
    ways = [Asked(task, str(k), task, share[k], share[0]) for task in ("follows", "not") for k in range(STEPS)]
    yield "ways", ways_chart(ways, tasks=["follows", "not"], ways=names, palette=p)
    few = range(0, STEPS, 7)
    matrix = [[shares[min(STEPS - 1, k + row % 7)] for k in few] for row, _ in enumerate(few)]
    yield "confusion", confusion(matrix, [str(k) for k in few], palette=p)


@PALETTES
def test_what_is_written_on_a_cell_can_be_read_over_the_whole_scale(p: Palette) -> None:
    for name, spec in _squares(p):
        width = 40 * 15 if name == "confusion" else WIDE
        said = vl_convert.vegalite_to_svg({**spec, "width": width}, allowed_base_urls=[])
        pairs = list(_written(said, p))
        assert len(pairs) >= STEPS * (1 if name != "heatmap" else 0.9), name
        for text, ink, fill in pairs:
            assert contrast(ink, fill) >= LEAST, (name, text, ink, fill)


def _written(svg: str, p: Palette) -> Iterator[tuple[str, str, str]]:
    """Each text on a cell with its ink and the cell's colour."""
    root = ElementTree.fromstring(svg)
    cells = [
        (box, _colour(path.get("fill", ""), path, p))
        for path in _of(root, "mark-rect", "path")
        if path.get("fill", "none") not in ("none", "transparent") and path.get("fill-opacity") != "0"
        for box in [_box(path.get("d", ""))]
    ]
    for text in _of(root, "mark-text", "text"):
        if not (text.text or "").strip() or text.get("opacity") == "0" or text.get("fill-opacity") == "0":
            continue
        x, y = map(float, re.findall(r"-?[\d.]+", text.get("transform", ""))[:2])
        under = [fill for (left, top, right, bottom), fill in cells if left <= x <= right and top <= y <= bottom]
        if under:
            yield text.text or "", text.get("fill", ""), under[-1]


def _of(root: ElementTree.Element, group: str, tag: str) -> Iterator[ElementTree.Element]:
    for found in root.iter("{http://www.w3.org/2000/svg}g"):
        if group in found.get("class", ""):
            yield from found.iter("{http://www.w3.org/2000/svg}" + tag)


def _colour(fill: str, path: ElementTree.Element, p: Palette) -> str:
    share = float(path.get("opacity", "1"))
    return fill if share == 1 else blend(fill, p.background, share)


def _box(path: str) -> tuple[float, float, float, float]:
    """Bounds of a rectangle whose corners may be rounded: of the ends of its lines."""
    ends = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.e-]+),(-?[\d.e-]+)", path)]
    if "h" in path and len(ends) == 1:
        (x, y), (wide,), (high,) = ends[0], re.findall(r"h(-?[\d.]+)", path)[:1], re.findall(r"v(-?[\d.]+)", path)[:1]
        return x, y, x + float(wide), y + float(high)
    return min(x for x, _ in ends), min(y for _, y in ends), max(x for x, _ in ends), max(y for _, y in ends)


def test_a_wrong_pair_is_found() -> None:
    said: Callable[[str], str] = lambda ink: (  # noqa: E731
        '<svg xmlns="http://www.w3.org/2000/svg"><g class="mark-rect"><path fill="#D5761C" d="M0,0h9v9h-9Z"/></g>'
        f'<g class="mark-text"><text transform="translate(4,4)" fill="{ink}">1</text></g></svg>'
    )
    ((_, ink, fill),) = _written(said("#FFFFFF"), LIGHT)
    assert contrast(ink, fill) < LEAST
    ((_, ink, fill),) = _written(said("#000000"), LIGHT)
    assert contrast(ink, fill) >= LEAST
