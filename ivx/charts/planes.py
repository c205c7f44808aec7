"""Planes of all layers side by side, and paths through one: pictures in HTML, whose width is their place's.

A layer's dots are one path of strokes of no length, so that thousands of them cost as little as a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from ivx.charts.palette import Palette
from ivx.charts.plane import KINDS, Box, Dot, short

SIDE = 100
"""Units of a plane's sides."""
SHARES = {"other": 0.5, "contrast": 0.85, "task": 0.85}
"""How opaque each kind of dot is."""
FOLLOWED = 10
"""Wordings of a task whose paths are drawn beside its mean."""


def planes(
    layers: Mapping[int, Sequence[Dot]],
    *,
    box: Box,
    palette: Palette,
    pair: tuple[str, str] | None = None,
    selected: int | None = None,
    alt_text: str = "",
) -> str:
    """Small multiples, a plane a layer on one pair of axes: a task in orange, its contrast in blue, others grey."""
    p = palette
    colours = {"task": p.orange, "contrast": p.blue, "other": p.faint}
    cells = []
    for layer, dots in sorted(layers.items()):
        strokes = []
        for kind in KINDS:
            own = "".join(f"M{_at(dot.x, dot.y, box)}h0" for dot in dots if _kind(dot.task, pair) == kind)
            if own:
                strokes.append(_stroke(own, colours[kind], wide=2.6, share=SHARES[kind]))
        chosen = layer == selected
        frame, ink, weight = (p.muted, p.ink, 700) if chosen else (p.line, p.muted, 400)
        cells.append(
            f'<figure style="margin:0"><figcaption style="font-size:12px;color:{ink};font-weight:{weight}">L{layer}'
            f"</figcaption>{_svg(strokes, frame)}</figure>"
        )
    return (
        f'<div role="img" aria-label="{escape(alt_text, quote=True)}" style="display:grid;gap:10px 12px;'
        f'grid-template-columns:repeat(auto-fill,minmax(128px,1fr))">{"".join(cells)}</div>'
    )


def trajectories(
    layers: Mapping[int, Sequence[Dot]],
    *,
    box: Box,
    palette: Palette,
    pair: tuple[str, str] | None = None,
    selected: int | None = None,
    followed: Sequence[int] = (),
    height: int = 250,
    alt_text: str = "",
) -> str:
    """Paths over the layers in one plane: each task's mean, a dot where it is at the selected layer, and, thin, single
    wordings: those that are `followed`, else some of the pair's."""
    p = palette
    colours = {"task": p.orange, "contrast": p.blue, "other": p.faint}
    order = sorted(layers)
    ways: dict[int, list[tuple[float, float]]] = {}
    groups: dict[str, list[int]] = {}
    for layer in order:
        for dot in layers[layer]:
            ways.setdefault(dot.number, []).append((dot.x, dot.y))
            if layer == order[0]:
                groups.setdefault(dot.task, []).append(dot.number)
    thin, thick, names = [], [], []
    for task, members in sorted(groups.items(), key=lambda one: KINDS.index(_kind(one[0], pair))):
        kind = _kind(task, pair)
        colour = colours[kind]
        shown = [k for k in members if k in followed] if followed else members[:FOLLOWED] if kind != "other" else []
        thin += [_stroke(_way(ways[k], box), colour, wide=0.9, share=0.9 if followed else 0.35) for k in shown]
        mean = [
            (sum(ways[k][i][0] for k in members) / len(members), sum(ways[k][i][1] for k in members) / len(members))
            for i in range(len(order))
        ]
        thick.append(_stroke(_way(mean, box), colour, wide=1.6 if kind == "other" else 2.4, share=SHARES[kind]))
        if selected in order:
            x, y = mean[order.index(selected)]
            thick.append(_stroke(f"M{_at(x, y, box)}h0", colour, wide=8, share=1))
        if kind != "other" or len(groups) <= 3:
            x, y = (float(one) for one in _at(*mean[-1], box).split())
            # A name stands to that side of its path's end where there is room.
            side = "translate(-100%,-120%)" if x > SIDE / 2 else "translate(0,-120%)"
            names.append(
                f'<span style="position:absolute;left:{x}%;top:{max(y, 9)}%;transform:{side};font:600 11.5px '
                f"'Source Sans',sans-serif;color:{colour};white-space:nowrap;text-shadow:0 0 3px {p.background},"
                f'0 0 3px {p.background}">{escape(short(task))}</span>'
            )
    zero = f"M0 {_at(0, 0, box).split()[1]}H{SIDE}M{_at(0, 0, box).split()[0]} 0V{SIDE}"
    drawn = _svg([_stroke(zero, p.line, wide=1, share=1), *thin, *thick], "none", height=f"{height}px")
    return (
        f'<div role="img" aria-label="{escape(alt_text, quote=True)}" style="position:relative">{drawn}'
        f"{''.join(names)}</div>"
    )


def _kind(task: str, pair: tuple[str, str] | None) -> str:
    return "other" if pair is None or task not in pair else "task" if task == pair[0] else "contrast"


def _at(x: float, y: float, box: Box) -> str:
    across, down = (x - box[0]) / (box[1] - box[0]), (box[3] - y) / (box[3] - box[2])
    return f"{SIDE * across:.1f} {SIDE * down:.1f}"


def _way(points: Sequence[tuple[float, float]], box: Box) -> str:
    return "M" + "L".join(_at(x, y, box) for x, y in points)


def _stroke(path: str, colour: str, *, wide: float, share: float) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{wide}" stroke-opacity="{share}" '
        'stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )


def _svg(strokes: Sequence[str], frame: str, *, height: str = "") -> str:
    size = f"height:{height}" if height else "aspect-ratio:1.25"
    edge = f";border:1px solid {frame};border-radius:4px" if frame != "none" else ""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none">'
        f"{''.join(strokes)}</svg>"
    )
    # As an image, since pages take shapes out of HTML.
    return f'<img alt="" src="data:image/svg+xml,{quote(drawn)}" style="display:block;width:100%;{size}{edge}">'
