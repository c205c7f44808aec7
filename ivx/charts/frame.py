"""The frame of a chart beside others: its size, its colours, and the axis of layers that all of them share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas  # noqa: F401  (Altair uses it as soon as any thread has begun to import it, so it must be whole by then)

from ivx.charts.palette import Palette

CROWDED = 16
"""Layers beyond which cells hold no numbers and not every one is labelled."""
STEPS = (1, 2, 5, 10, 20, 50)
"""Every so many layers one is labelled, the first step by which no more than `CROWDED` are."""
LEAST = 9
"""Pixels that a row has at least."""


def labelled(layers: int) -> list[int]:
    """The layers that have a label."""
    step = next(step for step in STEPS if -(-layers // step) <= CROWDED or step == STEPS[-1])
    return list(range(0, layers, step))


LETTERS = "ivxLetters"
"""Where a chart notes how large its letters are, until it is written as a spec."""
SIZES = ("fontSize", "labelFontSize", "titleFontSize")
LETTERED = frozenset((*SIZES, "labelLimit", "limit", "minExtent", "maxExtent", "lineHeight"))
"""Properties that grow with the letters; those told by an expression for a place's width do not, nor do offsets."""
USUAL = (11.0, 12.0)
"""The sizes between which letters grow: smaller ones grow as the lower does, so that none is too small."""
AS_IT_IS = frozenset(("data", "datasets"))

CHOSEN = "chosen"
"""Name of the data of what is chosen. They are all that a click changes, so that the browser keeps the chart."""

CHECKED = False
"""Whether specs are checked against Vega-Lite's schema, which takes as long as building them: the tests do."""

Chart = alt.LayerChart | alt.FacetChart


def framed(chart: Chart, p: Palette, *, height: int, right: int, alt_text: str) -> Chart:
    """The chart as wide as its panel, its plot at the same height and padding as its neighbours'."""
    return (
        chart.properties(
            width="container",
            height=height,
            background=p.background,
            padding={"left": 0, "right": right, "top": 4, "bottom": 2},
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
            description=alt_text,
            # Streamlit would draw more than 2,000 marks on a canvas, which neither keys nor a screen reader can walk.
            usermeta={"embedOptions": {"renderer": "svg"}, LETTERS: p.letters},
        )
        .configure(font="Source Sans, sans-serif")
        .configure_view(stroke=None)
        .configure_scale(bandPaddingInner=0.04, bandPaddingOuter=0.02)
        .configure_axis(domain=False, ticks=False)
    )


def with_axes(chart: Chart, p: Palette) -> Chart:
    """The chart with both axes labelled and named in the muted ink, over a faint grid."""
    return chart.configure_axis(
        domain=False,
        ticks=False,
        labelColor=p.muted,
        titleColor=p.muted,
        gridColor=p.line,
        labelFontSize=11.5,
        titleFontSize=12,
        titleFontWeight="normal",
    )


def spec_of(chart: Chart) -> dict[str, Any]:
    """The chart as Vega-Lite."""
    found: dict[str, Any] = chart.to_dict(validate=CHECKED)
    by = found.get("usermeta", {}).pop(LETTERS, 1.0)
    return found if by == 1 else _enlarged(found, by)


def on_its_data(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec whose layers are drawn of the data of the whole, but for those that have their own."""
    for one in spec["layer"]:
        if one.get("data") == {"name": "empty"}:
            del one["data"]  # Altair's placeholder, which would hide the data of the whole
    return spec


def _enlarged(part: Any, by: float) -> Any:
    """A part of a spec with larger letters, and with the room that they take."""
    if isinstance(part, Mapping):
        return {
            name: _times(name, value, by) if name in LETTERED else value if name in AS_IT_IS else _enlarged(value, by)
            for name, value in part.items()
        }
    return [_enlarged(one, by) for one in part] if isinstance(part, list) else part


def _times(name: str, value: Any, by: float) -> Any:
    """A number, or the expression of a size, so many times."""
    if isinstance(value, Mapping):
        return {"expr": f"({value['expr']}) * {by}"} if "expr" in value and name in SIZES else value
    if not isinstance(value, int | float):
        return value
    grown = value * by if name not in SIZES else max(value, min(max(value, USUAL[0]), USUAL[1]) * by)
    return round(grown, 2)


def layer_axis(p: Palette, layers: int, *, strong: str, names: Sequence[str] = ()) -> alt.Axis:
    """Layers upward, labelled `L3` or as they are named; bold where the Vega expression `strong` holds."""
    room = max(26, 8 + round(6.2 * max(map(len, names), default=0)))
    return alt.Axis(
        labelExpr=f"{listed(names)}[datum.value]" if names else "'L' + datum.value",
        labelFontSize=11.5,
        labelColor={"condition": {"test": strong, "value": p.ink}, "value": p.muted},
        labelFontWeight={"condition": {"test": strong, "value": 700}, "value": 400},
        values=labelled(layers),
        minExtent=room,
        maxExtent=room,
        labelPadding=6,
    )


def is_chosen(field: str) -> str:
    """The Vega expression that holds for a label whose value is that field's of something chosen."""
    return f"indata('{CHOSEN}', '{field}', datum.value)"


def marked(spec: dict[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """A chart whose labels do not ask its data what is chosen: as a part of another one it has none under a name."""

    def told(found: re.Match[str]) -> str:
        values = [row.get(found[1]) for row in datasets.get(CHOSEN, ())]
        return f"indexof({[value for value in values if value is not None]}, datum.value) >= 0"

    written: dict[str, Any] = json.loads(
        re.sub(rf"indata\('{CHOSEN}', '(\w+)', datum\.value\)", told, json.dumps(spec))
    )
    return written


def fitting(room: str, *forms: tuple[str, float], p: Palette) -> alt.ExprRef:
    """A mark's text as the first of its forms that fits, or none.

    Args:
        room: the Vega expression of the pixels that there are.
        forms: names of the fields that hold them, the longest first, each with the pixels that it takes.
    """
    told = "".join(f"({room}) >= {pixels * p.letters:g} ? datum.{field} : " for field, pixels in forms)
    return alt.ExprRef(f"{told}''")


def listed(labels: Sequence[str]) -> str:
    """Labels as a list in a Vega expression: they are data, and must not end their strings."""
    quoted = (label.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "⏎") for label in labels)
    return "[" + ", ".join(f"'{label}'" for label in quoted) + "]"


def printed_alone(spec: dict[str, Any], title: str, *, width: int, subtitle: str = "") -> dict[str, Any]:
    """A chart for print: titled, of fixed width, nothing to click; its parameters are replaced by their values, since
    it may become part of another chart."""
    written = json.dumps({key: value for key, value in spec.items() if key not in ("params", "datasets", "usermeta")})
    for param in spec.get("params", ()):
        if "value" in param:
            written = written.replace(f"indexof({param['name']},", f"indexof({json.dumps(param['value'])},")
    told = {"text": title, "anchor": "start", "fontSize": 12, **({"subtitle": subtitle} if subtitle else {})}
    return {**json.loads(written), "width": width, "title": told, "datasets": spec["datasets"]}
