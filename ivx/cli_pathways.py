"""The command `python -m ivx pathways`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivx.analyses.pathways.result import Pathways


def add(commands: Any) -> None:
    """Add the command to the parser of `ivx.cli.main`."""
    from ivx.cli.output import loading

    asked = commands.add_parser("pathways", help="by which tokens, layers and heads an answer comes about")
    asked.add_argument("--checkpoint", required=True, help="built-in name, hub id or directory")
    asked.add_argument("--task", required=True, help="such as animal/colour, or a user's file")
    asked.add_argument("--against", help="contrast task (default: the task's natural one)")
    asked.add_argument("--of", default="contrast", help="split the contrast of two logits, or one logit")
    asked.add_argument("--wording", type=int, help="number of one wording for all samples (default: drawn)")
    asked.add_argument("--patch-layer", type=int, help="compare with a bare run that has the vector at this layer")
    asked.add_argument("--position", default="first", help="where it is patched: first, query, last or an index")
    asked.add_argument("--source-token", default="t_inst", help="t_inst, keyword or an index (default: t_inst)")
    asked.add_argument("--beside", metavar="CHECKPOINT", help="compare with this checkpoint's pathways, too")
    asked.add_argument("--paths", type=int, default=20, help="strongest paths to keep (default: 20)")
    asked.add_argument("--traced", type=int, default=4, help="samples they are searched in (default: 4)")
    asked.add_argument("--ablation", default="mean", help="of the causal check: mean, zero, resample or none")
    asked.add_argument("--edge-check", action="store_true", help="check circuits of edges, too")
    asked.add_argument("--published", action="store_true", help="measure the published path sum, too")
    asked.add_argument("--target-format", default="prompt", help="prompt or chat")
    asked.add_argument("--samples", type=int, default=40)
    asked.add_argument("--seed", type=int, default=0)
    loading(asked, dtype="float32")
    asked.add_argument("--out", type=Path, help="write the rows to FILE.parquet, .csv or .json")
    asked.add_argument("--json", action="store_true", help="print the summary as JSON")
    asked.set_defaults(run=_pathways)


def _pathways(asked: argparse.Namespace) -> None:
    from ivx.analyses.pathways.request import PathwaysRequest
    from ivx.cli.output import answered, report

    def summary(found: Pathways) -> dict[str, Any]:
        told = found.summary()
        if asked.beside is None:
            return told
        other = answered(PathwaysRequest, argparse.Namespace(**asdict(found.request.beside(asked.beside))))
        return {**told, "overlap": [*told["overlap"], asdict(found.beside(other))]}

    report(PathwaysRequest, asked, summary=summary, words=text_of)


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
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def _share(part: dict[str, Any]) -> str:
    """Of the whole; a dash where that is next to nothing."""
    return "     –" if part["share"] is None else f"{part['share']:6.1%}"
