"""Effects and scans as text for a terminal, and as captions of printed figures."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.patching.roles import is_real
from ivx.stats.intervals import ALPHA
from ivx.stats.metrics import METRICS, find
from ivx.stats.power import unable
from ivx.vocabulary import CONTROL, DIRECTION, position, source_token


def text_of(summary: dict[str, Any]) -> str:
    """One line per cell, with its interval, its controls and how often the answer was followed."""
    request, levels = summary["request"], summary["levels"]
    names = list(summary["cells"][0]["controls"])
    heads = "".join(f"{name:>12}" for name in names)
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        f"follows {share(levels['followed']['unpatched'])} unpatched, {share(levels['followed']['told'])} told",
        f"{'patch':28}{'token':>16}{'effect':>9}  95 % interval  {heads}  state    followed",
    ]
    for cell in summary["cells"]:
        controls = "".join(f"{cell['controls'][name]['mean']:+12.2f}" for name in names)
        lines.append(
            f"{_named(cell['patch']):28}{cell['label']:>16}{cell['value']:+9.2f}  "
            f"[{cell['low']:+.2f}, {cell['high']:+.2f}]{controls}  {cell['state']:8}{share(cell['followed']):>8}"
        )
    joint = summary["joint"]
    notes = [f"note: each cell patches {joint} together: its address is in the rows"] if joint else []
    notes += [
        f"note: {warning}" for warning in filter(None, (*summary["warnings"], summary["part"], summary["population"]))
    ]
    if lacking := unable(summary["samples"], cells=len(summary["cells"])):
        notes.append(f"note: {lacking}")
    return "\n".join([*lines, *notes])


def _named(patch: str) -> str:
    """A cell's address; of several patched together the first and the last."""
    parts = patch.split(",")
    return patch if len(parts) == 1 else f"{parts[0]} … {parts[-1].partition('~')[0]}"


def share(level: float | None) -> str:
    """A share of the samples; a dash where none has finite logits."""
    return "–" if level is None else f"{level:.0%}"


def caption(found: Effects, site: str, metric: str) -> str:
    """The caption of the printed map of one site."""
    bars = [name for name in found.controls if is_real(name, direction=found.request.direction)]
    return map_caption(
        found,
        metric,
        shown=_shown(found.request, site),
        cell="cell",
        value="mean over samples of the",
        against=", ".join(CONTROL[name].caption for name in bars),
    )


def map_caption(found: Any, metric: str, *, shown: str, cell: str, value: str, against: str) -> str:
    """The caption of any map: subject, n, what is shown, metric, test and run.

    Args:
        found: a result with samples of one task.
        shown: what each cell shows, as sentences.
        cell, value: the words for a cell, and for its value.
        against: the controls that a finding beats.
    """
    view, receipt, request = find(metric), found.receipt, found.request
    toward = "" if view.name == "kl" else ", positive toward the answer"
    hatched = f"Hatched: different from 0, but no better than a control ({against}; paired). " if against else ""
    return (
        f"{receipt['checkpoint']['name']}, {request.task} against {receipt['contrast']}, n = "
        f"{len(found.samples.rows)}. {shown} Values: {value} {METRICS[metric].about}, in {view.unit}{toward}; "
        "colours are symmetric about 0. Grey: not different from 0 (the larger p of sign flips and of the interval, "
        f"Benjamini–Hochberg over all that the run shows, q < {ALPHA:g}, or less than {view.floor:g}). {hatched}"
        f"{found.samples.population} "
        f"Each {cell}'s interval and controls are in the table of ivx run {receipt['run']} ({receipt['dtype']})."
    )


def _shown(asked: EffectsRequest | ScanRequest, site: str) -> str:
    joint = getattr(asked, "joint", "")
    return f"{_one(asked, site)} A cell patches {joint} together." if joint else _one(asked, site)


def _one(asked: EffectsRequest | ScanRequest, site: str) -> str:
    put = position(asked.position).caption
    if isinstance(asked, ScanRequest):
        return f"Each cell writes the {site} state of one of the instruction's tokens at {put} of the bare prompt."
    if asked.direction != "denoise":
        return f"Each cell {DIRECTION[asked.direction].caption} ({site})."
    if site == "z":
        return "Each cell writes one head's output (z) of the instructed run's last token at that of the bare prompt."
    taken = source_token(asked.source_token).caption
    return f"Each cell writes the {site} state of {taken} at one position of the bare prompt."


WORDS: Words[Effects] = Words(text_of, caption)
