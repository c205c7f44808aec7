"""A mediation as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.effects.text import map_caption
from ivx.analyses.mediation.drawing import SAID
from ivx.analyses.mediation.result import Mediation
from ivx.stats.power import unable
from ivx.vocabulary import CONTROL, position, source_token

SHOWN = 40
"""Carriers that are listed, the strongest first."""


def text_of(summary: dict[str, Any]) -> str:
    """The total, then a line per carrier, strongest first, with its share and its controls; then the sets."""
    request, total = summary["request"], summary["total"]
    edges = request["through"] == "edges"
    carriers = sorted(summary["carriers"], key=lambda one: -abs(one["mediated"]["value"]))
    sets = [*summary["together"], *filter(None, [summary["everything"]])]
    named = list((carriers or sets or [{"mediated": {"controls": {}}}])[0]["mediated"]["controls"])
    heads = "".join(f"{NAMES.get(name, name):>14}" for name in named)
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        "no effect was measured"
        if total is None
        else f"total {total['value']:+.2f} [{total['low']:+.2f}, {total['high']:+.2f}], {total['state']}: "
        f"the vector at layer {request['layer']}, position {request['position']}",
        f"{'along' if edges else 'through':20}{'mediated':>9}  95 % interval     adj. p{'share':>7}"
        f"{'rest' if edges else 'direct':>9}{heads}  state",
    ]
    for one in [*carriers[:SHOWN], *sets]:
        v = one["mediated"]
        beside = "".join(
            f"{v['controls'][name]['mean']:+14.2f}" if name in v["controls"] else " " * 14 for name in named
        )
        share = "–" if one["share"] is None else f"{one['share']['value']:.0%}"
        lines.append(
            f"{one['label']:20}{v['value']:+9.2f}  [{v['low']:+.2f}, {v['high']:+.2f}]{v['p']:10.4f}{share:>7}"
            f"{one['direct']['value']:+9.2f}{beside}  {v['state']}"
        )
    told = [*summary["warnings"], summary["population"]]
    if len(carriers) > SHOWN:
        told.append(f"the strongest {SHOWN} of {len(carriers)} are listed: all are in the rows")
    if summary["together"]:
        told.append(f"sets are measured on {summary['together'][0]['n']} samples that did not rank them")
    if lacking := unable(summary["samples"], cells=max(1, len(carriers))):
        told.append(lacking)
    return "\n".join([*lines, *(f"note: {note}" for note in told)])


NAMES = {"set": "others, as many", "task": "other task"}


def caption(found: Mediation, figure: str, metric: str) -> str:
    """The caption of the printed map, or of the curve of sets."""
    asked = found.request
    put = (
        f"the state of {source_token(asked.source_token).caption} at layer {asked.layer}, put at "
        f"{position(asked.position).caption} of the bare prompt"
    )
    against = ", ".join([*(CONTROL[name].caption for name in found.controls if name != "shuffled"), "others as many"])
    if figure == "sets":
        shown = (
            f"How much of the effect of {put} is lost when the strongest {asked.through} are given their own values "
            "together, on samples that did not rank them; grey: random sets of equal size; line: the whole effect."
        )
    elif asked.through == "edges":
        shown = f"What of the effect of {put} goes straight to each later head alone, and from there everywhere."
    else:
        shown = (
            f"What of the effect of {put} {SAID[asked.through]}: f(S) − f(S with it set to its own unpatched value)."
        )
    return map_caption(
        found, metric, shown=shown, cell="carrier", value="mean mediated effect, on the", against=against
    )


WORDS: Words[Mediation] = Words(text_of, caption)
