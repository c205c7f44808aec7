"""Interactions as text for a terminal, and as the caption of a printed figure."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.effects.text import map_caption
from ivx.analyses.interactions.restoration import PARTS
from ivx.analyses.interactions.result import Interactions
from ivx.stats.power import unable
from ivx.vocabulary import CONTROL, position, source_token


def text_of(summary: dict[str, Any]) -> str:
    """One line per pair, strongest first, with its tests; degenerate pairs last, with the reason."""
    request, pairs = summary["request"], summary["pairs"]
    ran = sorted((p for p in pairs if not p["degenerate"]), key=lambda p: -abs(p["j"]))
    free = [p for p in pairs if p["degenerate"]]
    found = [p for p in ran if p["state"] == "ok"]
    named = list(pairs[0]["controls"]) if pairs else []
    columns = "".join(f"{name:>11}" for name in named)
    additive = "" if summary["additivity"] is None else f"; additive models explain {summary['additivity']:.0%}"
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        *(["patches add the difference from an idle sentence"] if request["patch"] == "delta" else []),
        f"{len(pairs)} pairs, {len(free)} of them degenerate; {len(found)} interact and beat their controls, "
        f"{sum(p['j'] > 0 for p in found)} of these above the sum, "
        f"{sum(p['strict'] for p in found)} also above the better one{additive}",
        f"{'pair':46}{'J':>8}  95 % interval     adj. p{columns}  alone          both  state",
    ]
    for p in ran:
        control = "".join(f"{p['controls'][name]['mean']:+11.2f}" for name in named)
        strict = " strict" * p["strict"] + " removable" * bool(p.get("removable"))
        lines.append(
            f"{p['patch']:46}{p['j']:+8.2f}  [{p['low']:+.2f}, {p['high']:+.2f}]{p['p']:10.4f}{control}  "
            f"{p['single_first']:+.2f} {p['single_second']:+.2f}{p['both']:+10.2f}  {p['state']}{strict}"
        )
    for p in free:
        lines.append(f"{p['patch']:46}{p['j']:+8.2f}  degenerate: {p['degenerate']}")
    for t in sorted(summary["triples"], key=lambda t: -abs(t["j"])):
        tested = f"[{t['low']:+.2f}, {t['high']:+.2f}]{t['p']:10.4f}  {t['state']}" if not t["degenerate"] else ""
        lines.append(f"{t['patch']:69}{t['j']:+8.2f}  {tested or 'degenerate: ' + t['degenerate']}")
    if "restored" in summary:
        lines += _restored(summary["restored"])
    if "published_test" in summary:
        p = summary["published_test"]["p"]
        passed = sum(value < 0.05 for value in p.values())
        lines.append(f"note: {summary['published_test']['label']}; here {passed} of {len(p)} pairs")
    told = [*summary["warnings"], *summary["notes"], summary["population"]]
    if lacking := unable(summary["samples"], cells=max(1, len(ran))):
        told.append(lacking)
    return "\n".join([*lines, *(f"note: {note}" for note in told)])


def _restored(pairs: list[dict[str, Any]]) -> list[str]:
    """One line per pair: J° and what overwriting takes away; those that follow from the singles are left out."""
    ran = sorted((p for p in pairs if not p["degenerate"]), key=lambda p: -abs(p["restored"]["value"]))
    found = [[p for p in ran if p[part]["state"] == "ok"] for part in PARTS]
    lines = [
        f"restored, J = J° + O (O: what overwriting takes away): of {len(ran)} pairs {len(found[0])} have a J° beyond "
        f"their controls, {len(found[1])} an O",
        f"{'pair':46}{'J°':>8}  95 % interval     adj. p  state  {'O':>8}  95 % interval     adj. p  state",
    ]
    for p in ran:
        parts = [
            f"{v['value']:+8.2f}  [{v['low']:+.2f}, {v['high']:+.2f}]{v['p']:10.4f}  {v['state']:7}"
            for v in (p[part] for part in PARTS)
        ]
        lines.append(f"{p['patch']:46}{''.join(parts).rstrip()}")
    return lines


def caption(found: Interactions, figure: str, metric: str) -> str:
    """The caption of a printed map of pairs."""
    asked = found.request
    added = asked.patch == "delta"
    j = {
        "pairs": "J(a, b) = f(ab) − f(a) − f(b)",
        "restored": "J°(a, b) = f(ab) − f(b) − f(a | own b)",
        "lost": "O(a, b) = f(a | own b) − f(a)",
    }[figure]
    back = "" if figure == "pairs" else "f(a | own b): with the token’s own value back at b. "
    marked = "Diamond: above the sum and the better of the two; triangle: both alone push the answer away; "
    shown = (
        f"{j}, where f is the effect of {'adding' if added else 'writing'} the "
        f"{', '.join(asked.sites)} states of {source_token(asked.source_token).caption}"
        f"{', less those of an idle sentence,' if added else ''} at {position(asked.position).caption} of the bare "
        f"prompt. {back}{marked if figure == 'pairs' else ''}{'dash' if figure == 'pairs' else 'Dash'}: "
        "degenerate, J follows from the two alone. " + "".join(f"{note}. " for note in found.notes(metric))
    ).strip()
    against = ", ".join(CONTROL[name].caption for name in found.controls if name != "shuffled")
    return map_caption(found, metric, shown=shown, cell="pair", value="mean interaction, on the", against=against)


WORDS: Words[Interactions] = Words(text_of, caption)
