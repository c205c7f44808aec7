"""A variance as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.variance.drawing import PART, POPULATION
from ivx.analyses.variance.result import Variance
from ivx.stats.metrics import find
from ivx.vocabulary import CONTROL, position, source_token

SAID = {
    "ok": "holds for other wordings and queries",
    "control": "beyond its control not for other wordings and queries",
    "zero": "does not hold for other wordings and queries",
}
"""What the verdict says of the mean."""


def text_of(summary: dict[str, Any]) -> str:
    """The mean for each population, what effects vary by, what more would buy, then wordings and answers."""
    request, held = summary["request"], summary["held"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, {summary['metric']}, "
        f"run {summary['run']}"
    ]
    if held is None:
        return "\n".join([*lines, "no effect was measured", *(f"note: {note}" for note in summary["warnings"])])
    lines.append(
        f"{held['wordings']} wordings × {held['queries']} queries of {held['answers']} answers; the vector at layer "
        f"{request['layer']}, position {request['position']}: {SAID[held['state']]}"
    )
    lines.append(f"{'mean for':34}{'effect':>8}  95 % interval       beyond control")
    for new, one in held["mean"].items():
        beside = held["beyond"].get(new)
        excess = "" if beside is None else f"{beside['mean']:+8.2f} [{beside['low']:+.2f}, {beside['high']:+.2f}]"
        lines.append(f"{POPULATION[new]:34}{one['mean']:+8.2f}  [{one['low']:+.2f}, {one['high']:+.2f}]  {excess}")
    lines.append("its variance comes from")
    for part, share in held["shares"].items():
        lines.append(f"{PART[part]:34}{share['value']:8.0%}  [{share['low']:.0%}, {share['high']:.0%}]")
    lines.append("half of the interval for other wordings and queries, with")
    lines += [
        f"{wordings:4} wordings × {queries:4} queries {half:17.2f}" for wordings, queries, half in held["foreseen"]
    ]
    for name, found in (("by wording", summary["by_wording"]), ("by answer", summary["by_answer"])):
        lines.append(name)
        for one in found:
            ends = "" if one["low"] is None else f"  [{one['low']:+.2f}, {one['high']:+.2f}]"
            lines.append(f"{one['name'][:60]:62}{one['mean']:+8.2f}{ends}  n = {one['n']}")
    told = list(summary["warnings"])
    if held["undefined"]:
        told.append(f"{held['undefined']} queries are left out: a logit of theirs is not finite")
    return "\n".join([*lines, *(f"note: {note}" for note in told)])


def caption(found: Variance, figure: str, metric: str) -> str:
    """The caption of the printed grid, or of the means."""
    asked, receipt, view, (wordings, queries) = found.request, found.receipt, find(metric), found.shape
    put = (
        f"the state of {source_token(asked.source_token).caption} at layer {asked.layer}, put at "
        f"{position(asked.position).caption} of the bare prompt"
    )
    shown = {
        "grid": f"Each cell: the effect of {put}, told in one of {wordings} wordings, on one of {queries} queries; "
        "queries of one answer stand beside each other.",
        "means": f"The mean effect of {put}, over {wordings} wordings and {queries} queries, with 95 % intervals from "
        "variance components (REML, Satterthwaite): for other queries, other wordings, or both; then each answer's.",
    }[figure]
    held = found.held(metric)
    against = ", ".join(CONTROL[name].caption for name in found.controls)
    told = "" if held is None else f" The effect {SAID[held.state]}{f' (control: {against})' if against else ''}."
    return (
        f"{receipt['checkpoint']['name']}, {asked.task} against {receipt['contrast']}, n = {len(found.samples.rows)}. "
        f"{shown} Values: {view.about}, in {view.unit}.{told} ivx run {receipt['run']} ({receipt['dtype']})."
    )


WORDS: Words[Variance] = Words(text_of, caption)
