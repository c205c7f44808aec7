"""Separability as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.separability.result import Separability
from ivx.patching import gate
from ivx.vocabulary import source_token

UNCOUNTED = "which of these {} tasks the model follows is not counted here: behaviour tells that, task by task"


def text_of(summary: dict[str, Any]) -> str:
    """One line per place: the baselines, then the layers, lowest first."""
    request, baselines = summary["request"], summary["baselines"]
    what = "pairs of " if request["pairs"] else ""
    lines = [
        f"{request['checkpoint']}, {what}{len(summary['tasks'])} tasks, {summary['samples']} wordings at "
        f"{request['position']}, run {summary['run']}",
        f"held-out accuracy by paraphrase family, {request['repeats']} × {request['folds']} folds; "
        f"chance {summary['chance']:.0%}",
        f"{'component':14}layer  accuracy  95 % interval  control  selectivity  95 % interval  other probes",
    ]
    cells = [*baselines.values(), *summary["layers"]]
    for cell in cells:
        layer = f"L{cell['layer']}" if cell["layer"] >= 0 else ""
        more = f"centroid {cell['centroid']:.0%}, RBF {cell['nonlinear']:.0%}" if "centroid" in cell else ""
        if "over_words" in cell:
            more += f", over a bag of words {cell['over_words']:+.0%} [{_span(cell, 'over_words').strip()}]"
        if "capacity" in cell:
            more += f", learnable control {cell['capacity']:.0%} of {cell['within']:.0%}"
        lines.append(
            f"{cell['component']:14}{layer:>5}{cell['accuracy']:10.1%}  [{_span(cell, 'accuracy')}]"
            f"{cell['control']:9.0%}{cell['selectivity']:13.0%}  [{_span(cell, 'selectivity')}]  {more}"
        )
    if summary["geometry"]:
        lines.append("cosines of states within a task and between two, silhouette (labels shuffled), norm:")
    lines += [
        f"{one['component']:14}{'L' + str(one['layer']):>5}{one['within'][0]:10.3f}{one['between'][0]:8.3f}"
        f"{one['silhouette'][0]:9.3f} ({one['shuffled'][0]:.3f}){one['norm'][0]:10.4g}"
        for one in summary["geometry"]
    ]
    warnings = list(summary["warnings"])
    if gate.FIELD not in summary and len(summary["tasks"]) > 2:
        warnings.append(UNCOUNTED.format(len(summary["tasks"])))
    return "\n".join([*lines, *(f"note: {warning}" for warning in warnings)])


def _span(cell: dict[str, Any], name: str) -> str:
    return f"{cell[f'{name}_low']:5.0%}, {cell[f'{name}_high']:5.0%}"


def caption(found: Separability, figure: str, metric: str) -> str:
    """The caption of the printed dumbbell of one component."""
    receipt, asked = found.receipt, found.request
    return (
        f"{receipt['checkpoint']['name']}, {len(found.tasks)} tasks, n = {len(found.wordings)} wordings. "
        f"A linear probe of each layer's {figure} at {source_token(asked.position).caption} tells the tasks apart: "
        "accuracy on held-out paraphrase families (blue) with its 95 % interval, on labels shuffled by family (grey), "
        f"and of the baselines (dashed). A guess is right in {found.chance:.0%}. ivx run {receipt['run']} "
        f"({receipt['dtype']})."
    )


WORDS: Words[Separability] = Words(text_of, caption)
