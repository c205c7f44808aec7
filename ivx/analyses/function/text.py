"""Function vectors as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.function.result import FunctionVectors
from ivx.stats.metrics import METRICS

SHARE = {
    False: "nothing stands between the output projection and the stream, so the vector is the sum of W_O z, as Todd et "
    "al. have it",
    True: "a norm stands behind the output projection: a head's share is W_O z under the norm's weight and the scale "
    "that it has in the run, which is locally linear, and not Todd et al.'s sum",
}
"""By whether a norm stands there: what the function vector is a sum of."""
NAMES = {"demonstrations": "demonstrations", "counter": "the contrast task's", "instruction": "the instruction"}


def text_of(summary: dict[str, Any]) -> str:
    """The first heads, how alike they are to the instruction's, one line per layer, and the cosines."""
    request, levels, n = summary["request"], summary["levels"], summary["samples"]
    first = summary["ranking_samples"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, {request['demonstrations']} "
        f"demonstrations, {first} queries rank heads by {request['ranking']}, {n - first} measure, "
        f"{summary['metric']}, run {summary['run']}",
        f"follows {_share(levels['unpatched'])} unpatched, {_share(levels['told'])} shown",
        SHARE[summary["normed"]],
    ]
    for role, heads in summary["heads"].items():
        told = ", ".join(f"L{head['layer']} H{head['head']} {head['value']:+.2f}" for head in heads)
        lines.append(f"heads of {NAMES[role]}: {told}")
    if found := summary["overlap"]:
        lines.append(
            f"demonstrations and instruction share {found['shared']} of {found['top']} heads; chance gives "
            f"{found['expected']:.1f} [{found['low']}, {found['high']}], p {found['p']:.4f}; each shares "
            f"{found['alike'][0]} and {found['alike'][1]} with itself over halves of its samples; rank correlation "
            f"over all {found['of']} heads {found['correlation']:+.2f}"
        )
    lines.append(
        f"{'added at':18}{'function':>9}  95 % interval     followed  {'contrast':>8}  {'random':>6}  {'heads':>6}  "
        f"{'state':8}  {'task vector':>11}  followed"
    )
    for cell in summary["cells"]:
        own, state = cell["effect"], cell["state"]
        lines.append(
            f"{cell['patch']:18}{own['value']:+9.2f}  [{own['low']:+.2f}, {own['high']:+.2f}]"
            f"{_share(cell['followed']):>12}  {own['control']:+8.2f}  {own['others']['random']['mean']:+6.2f}  "
            f"{own['others']['heads']['mean']:+6.2f}  {own['state']:8}  {state['value']:+11.2f}  "
            f"{_share(cell['state_followed']):>8}"
        )
    for name, layers in summary["cosines"].items():
        of = "function vector" if name == "function" else "task vector"
        whole = " ".join(f"{layer['whole']:+.2f}" for layer in layers)
        lines.append(f"cosine of the {of} with the instruction's vector by layer: {whole}")
        if all(layer["own"] is not None for layer in layers):
            own = " ".join(f"{layer['own']:+.2f}" for layer in layers)
            lines.append(f"  less what the contrast task's have in common: {own}")
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def caption(found: FunctionVectors, name: str, metric: str) -> str:
    """The caption of a printed figure."""
    receipt, request = found.receipt, found.request
    n = len(found.samples.rows)
    about = f"{receipt['checkpoint']['name']}, {request.task} against {receipt['contrast']}, run {receipt['run']}."
    if name in ("heads", "instruction"):
        shown = {
            "heads": "its mean over prompts with right demonstrations, in prompts whose demonstrations have shuffled "
            "answers",
            "instruction": "its mean over told prompts, in bare ones",
        }[name]
        return f"{about} Each cell gives a head's z at the last token {shown} (n = {n // 2}). {SHARE[found.normed]}."
    if name == "layers":
        return (
            f"{about} The sum of the shares of {request.heads} heads is added to the last token of bare prompts whose "
            f"queries did not rank them (n = {n - n // 2}); {METRICS[metric].about}. {SHARE[found.normed]}."
        )
    return f"{about} Cosines with the residual stream at the instruction's {request.source_token} (n = {n})."


def _share(level: list[float] | None) -> str:
    return "–" if level is None else f"{level[0]:.0%}"


WORDS: Words[FunctionVectors] = Words(text_of, caption)
