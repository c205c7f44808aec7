"""A search for a place as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.stats.following import percent
from ivx.vocabulary import position, source_token

SHOWN = 8
"""Most pairs of tokens, and most heads, that are listed."""


def text_of(summary: dict[str, Any]) -> str:
    """The place or why there is none, the pairs that came closest, the sinks, and the readers."""
    request = summary["request"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        *placed(summary),
    ]
    pairs = sorted(summary["pairs"], key=lambda pair: -pair["score"])[:SHOWN]
    lines.append(f"{'source':10}{'position':>10}{'token':>14}{'layer':>7}{'effect':>9}{'control':>9}  followed")
    lines += [
        f"{pair['source']:10}{pair['position']:>10}{pair['label']:>14}{pair['layer']:7}{pair['effect']:+9.2f}"
        f"{pair['control']:+9.2f}{pair['followed']:>10.0%}"
        for pair in pairs
    ]
    lines += read(summary)
    return "\n".join([*lines, *(f"note: {warning}" for warning in (*summary["warnings"], summary["population"]))])


def placed(summary: dict[str, Any]) -> list[str]:
    """What was found, in sentences."""
    found, lines = summary["place"], []
    if found is None or found["kind"] == "none":
        lines.append(f"no place: an effect of {summary['least']:.2f} logits would have been seen")
        if found is not None:
            lines.append(f"nearest: {found['label']}, layer {found['layer']}, {_effect(found)}")
    else:
        where = f"{found['label']}, layer {found['layer']} (layers {found['first']} to {found['last']})"
        followed, told, untold = (percent(found[name]) for name in ("followed", "told", "untold"))
        shares = f"{followed} follow, told {told}, untold {untold}"
        if found["kind"] == "preference":
            lines.append(
                "no place where the instruction makes the model follow, which it does not when told either; its "
                f"preference moves most at {where}: {_effect(found)}; {shares}"
            )
        else:
            lines.append(f"place: {where}: {_effect(found)}; {shares} (n = {found['n']}, queries that chose nothing)")
    if summary["silent"]:
        silent = ", ".join(source_token(name).label for name in summary["silent"])
        lines.append(f"carries nothing beyond its controls: {silent}")
    if summary["sinks"]:
        lines.append(f"sinks, where another task's or a random vector does as much: {', '.join(summary['sinks'])}")
    return lines


def _effect(found: dict[str, Any]) -> str:
    controls = ", ".join(f"{name} {against['mean']:+.2f}" for name, against in found["controls"].items())
    return (
        f"{found['value']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}], {found['beyond']:+.2f} beyond the "
        f"strongest control ({controls})"
    )


def read(summary: dict[str, Any]) -> list[str]:
    """The readers, in sentences."""
    found = summary["readers"]
    if found is None:
        return []
    blocks = ", ".join(map(str, found["blocks"])) or "none by itself"
    lines = [f"read from layer {found['layer']} on by blocks {blocks}; read so far (of {found['whole']:+.2f}):"]
    lines.append("  " + "  ".join(f"{step['block']}: {step['value']:.1f}" for step in found["steps"]))
    heads = [head for head in found["heads"] if head["state"] == "ok"]
    if found["heads"]:
        most = sorted(heads, key=lambda head: -abs(head["step"]))[:SHOWN]
        told = ", ".join(f"L{h['block']}h{h['head']} {h['step']:+.2f}" for h in most) or "none by itself"
        lines.append(f"heads through which it passes: {told}")
    return lines


def caption(found: Place, figure: str, metric: str) -> str:
    """What stands under a printed figure."""
    receipt, request, n = found.receipt, found.request, found.parts
    about = f"{receipt['checkpoint']['name']}, {request.task} against {receipt['contrast']}. "
    if figure == "acts":
        return (
            f"{about}The state of one of the instruction's tokens is put on one token of the bare prompt, layer by "
            f"layer: mean {metric} with its 95 % interval, n = {len(n.confirming)} queries that chose nothing; line: "
            f"the strongest control. Orange: beyond its controls. Run {receipt['run']} ({receipt['dtype']})."
        )
    if figure == "readers":
        return (
            f"{about}The vector is put at its place, and the token given its own value back behind each later block, "
            f"so that only the blocks up to there have read it; n = {len(n.confirming)}, bands are 95 % intervals; run "
            f"{receipt['run']}."
        )
    return (
        f"{about}Each strip writes the state of one of the instruction's tokens on one token of the bare prompt, layer "
        f"by layer: mean {metric}, n = {len(n.choosing)} queries that choose. Line: the strongest control, another "
        f"task's states or random ones of equal norm (n = {len(n.controlled)}). What is outlined was confirmed on "
        f"{len(n.confirming)} other queries. {found.samples.population} Run {receipt['run']} ({receipt['dtype']})."
    )


def asked(request: PlaceRequest) -> str:
    """What a request searches, in half a sentence."""
    source = "each named token" if request.source_token == "all" else source_token(request.source_token).label
    return f"from {source} to {position(request.position).label}"


WORDS: Words[Place] = Words(text_of, caption)
