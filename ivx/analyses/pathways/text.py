"""Pathways as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words

HIGH = {"strongest": "the strongest paths", "published": "published paths that rank the answer in the first 100"}


def text_of(summary: dict[str, Any]) -> str:
    """The plain text of a result, for a terminal."""
    request, total, told = summary["request"], summary["total"], summary["fidelity"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"run {summary['run']}",
        ", ".join(f"{run} {value:+.2f}" for run, value in total.items()) + f" ({request['of']}, logits)",
        f"parts sum to the logits with cosine {told['cosine']:.9f} and norm ratio {told['ratio']:.9f}; "
        f"largest error of a sum {told['deviation']:.0e}",
    ]
    for one in told["published"]:
        sums = one["everything"]
        lines.append(f"published sum of {one['paths']:,} paths: cosine {sums['cosine']:.2f}, ratio {sums['ratio']:.3g}")
    lines += [f"L{h['layer']} H{h['head']}{h['value']:+8.2f}  {_share(h)}" for h in summary["heads"]]
    for e in summary["edges"]:
        spread = "" if e["low"] is None else f"  [{e['low']:+.2f}, {e['high']:+.2f}]"
        lines.append(f"L{e['layer']} H{e['head']} {e['start']} → {e['end']}{e['value']:+8.2f}  {_share(e)}{spread}")
    for kind, starts in summary["starts"].items():
        if starts:
            lines.append(
                f"{HIGH[kind]} begin at: share of them, times as many as of all paths (n = {starts[0]['samples']})"
            )
        lines += [
            f"  {one['label']:14}{one['share']:7.1%} [{one['low']:.0%}, {one['high']:.0%}]{one['times']:9.3g} "
            f"[{one['times_low']:.3g}, {one['times_high']:.3g}]"
            for one in starts
        ]
    for one in summary["activity"]:
        rank = "–" if one["spearman"] is None else f"{one['spearman']:.2f}"
        lines.append(
            f"heads among the {one['k']} strongest of their layer: Jaccard {one['jaccard']:.2f} "
            f"[{one['jaccard_low']:.2f}, {one['jaccard_high']:.2f}], rank correlation {rank} (n = {one['samples']})"
        )
        apart = [rate for rate in one["rates"] if rate["low"] > 0 or rate["high"] < 0]
        lines += [
            f"  L{r['layer']} H{r['head']}: {r['here']:.0%} and {r['there']:.0%}, difference {r['difference']:+.0%} "
            f"[{r['low']:+.0%}, {r['high']:+.0%}]"
            for r in sorted(apart, key=lambda rate: -abs(rate["difference"]))[:5]
        ]
    for found in summary["overlap"]:
        lines.append(
            f"{found['one']} and {found['other']}: overlap by layer (of one with itself), rank correlation, adj. p"
        )
        for layer in found["layers"]:
            rank, p = ("–" if v is None else f"{v:.3f}" for v in (layer["spearman"], layer["p"]))
            lines.append(
                f"  L{layer['layer']:<3}{layer['jaccard']:6.2f} [{layer['low']:.2f}, {layer['high']:.2f}] "
                f"({layer['reference']:.2f}){rank:>8}{p:>8}"
            )
    for curve in summary["faithfulness"]:
        lines.append(
            f"{curve['unit']} kept, others by {curve['ablation']}: area {curve['area']:.2f}, random sets "
            f"{curve['random_area']:.2f} (n = {curve['samples']}; whole {curve['whole']:+.2f}, nothing "
            f"{curve['nothing']:+.2f})"
        )
        lines += [
            f"  {p['n']:>6}{p['kept']:+8.2f} [{p['low']:+.2f}, {p['high']:+.2f}]  random {p['random']:+.2f} "
            f"[{p['random_low']:+.2f}, {p['random_high']:+.2f}]  removed {p['removed']:+.2f}"
            for p in curve["points"]
        ]
    for one in summary["areas"]:
        lines.append(
            f"heads by {one['ranking']}: CPR {one['cpr']:.3f} [{one['cpr_low']:.3f}, {one['cpr_high']:.3f}], "
            f"CMD {one['cmd']:.3f} [{one['cmd_low']:.3f}, {one['cmd_high']:.3f}] (n = {one['samples']})"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def _share(part: dict[str, Any]) -> str:
    """A part's share of the whole; a dash where that is next to nothing."""
    return "     –" if part["share"] is None else f"{part['share']:6.1%}"


WORDS: Words[Any] = Words(text_of)
