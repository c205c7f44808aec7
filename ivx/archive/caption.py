"""Captions: what stands under a printed figure, so that it can be read without this app."""

from __future__ import annotations

from typing import Any

from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import Game
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.result import Interactions
from ivx.patching.roles import is_real
from ivx.stats.intervals import ALPHA
from ivx.stats.metrics import METRICS, find

TAKEN = {
    "t_inst": "the instruction's last token",
    "keyword": "the last token of the words that name the task",
    "all": "each of the instruction's tokens",
}
PUT = {"first": "the first token", "query": "the query's first token", "last": "the last token", "all": "each position"}
DISTURBED = {
    "noise": "replaces one state of the instructed run by the bare prompt's",
    "resample": "replaces one state of the instructed run by that of another sample told the same",
    "zero": "sets one state of the instructed run to zero",
    "mean": "sets one state of the instructed run to its mean over samples",
}
CONTROLS = {
    "task": "another task's states",
    "random": "random vectors of equal norm",
    "neutral": "those of a sentence that asks for nothing",
    "shuffled": "those of another sample",
    "identity": "that of the token fed alone",
    "aggregation": "that of the task phrase's last word fed alone",
}


def caption(result: Any, part: str, metric: str = "contrast") -> str:
    """The caption of one figure of a result; `part` is its name in `figures`. Empty for kinds that are not maps."""
    if not isinstance(result, Effects | Interactions | Game):
        return ""
    view, receipt, request = find(metric), result.receipt, result.request
    about = METRICS[metric].about
    if isinstance(result, Effects):
        shown, bars = _of_map(result, part), [name for name in result.controls if _is_bar(result, name)]
        against = ", ".join(CONTROLS[name] for name in bars)
        cell, value = "cell", "mean over samples of the"
    else:
        shown, cell, value = _of_pairs(result.request), "pair", "mean interaction, on the"
        bars = result.controls if isinstance(result, Interactions) else ["task"] if result.samples.control else []
        against = ", ".join(CONTROLS[name] for name in bars if name != "shuffled")
    toward = "" if view.name == "kl" else ", positive toward the answer"
    hatched = f"Hatched: different from 0, but no better than a control ({against}; paired). " if against else ""
    return (
        f"{receipt['checkpoint']['name']}, {request.task} against {receipt['contrast']}, n = "
        f"{len(result.samples.rows)}. {shown} Values: {value} {about}, in {view.unit}{toward}; "
        "colours are symmetric about 0. Grey: not different from 0 (sign flips over samples, "
        f"Benjamini–Hochberg over the map, q < {ALPHA:g}, or less than {view.floor:g}). {hatched}"
        f"Each {cell}'s interval and controls are in the table of ivx run {receipt['run']} ({receipt['dtype']})."
    )


def _is_bar(result: Effects, control: str) -> bool:
    return is_real(control, direction=result.request.direction)


def _of_map(result: Effects, site: str) -> str:
    asked = result.request
    taken = TAKEN.get(asked.source_token, f"the instruction's token {asked.source_token}")
    put = PUT.get(asked.position, f"token {asked.position}")
    if isinstance(asked, ScanRequest):
        return f"Each cell writes the {site} state of one of the instruction's tokens at {put} of the bare prompt."
    assert isinstance(asked, EffectsRequest)
    if asked.direction != "denoise":
        return f"Each cell {DISTURBED[asked.direction]} ({site})."
    if site == "z":
        return "Each cell writes one head's output (z) of the instructed run's last token at that of the bare prompt."
    return f"Each cell writes the {site} state of {taken} at one position of the bare prompt."


def _of_pairs(asked: InteractionsRequest | GameRequest) -> str:
    put = PUT.get(asked.position, f"token {asked.position}")
    if isinstance(asked, GameRequest):
        return (
            f"Shapley interaction of two layers in the game where later tokens read the keys and values of {put} from "
            "the instructed run."
        )
    taken = TAKEN.get(asked.source_token, f"the instruction's token {asked.source_token}")
    return (
        f"J(a, b) = f(ab) − f(a) − f(b), where f is the effect of writing the {', '.join(asked.sites)} states of "
        f"{taken} at {put} of the bare prompt. Diamond: above the sum and the better of the two; triangle: both "
        "alone push the answer away; dash: degenerate, J follows from the two alone."
    )
