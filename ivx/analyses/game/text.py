"""A clean game as text for a terminal, and as the caption of a printed figure."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.effects.text import map_caption
from ivx.analyses.game.result import Game
from ivx.vocabulary import CONTROL, position

MOST = 10
"""Most pairs in the text."""


def text_of(summary: dict[str, Any]) -> str:
    """One line per block with its Shapley value, then the pairs that interact most."""
    request = summary["request"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        f"blocks that let later tokens read {position(request['position']).caption} from the instructed run; "
        f"additive models explain {summary['additivity']:.0%}",
        *filter(None, [summary["players"]]),
        *_orders(summary["orders"]),
        f"{'block':12}{'Shapley':>8}  95 % interval     adj. p  {'control':>8}  state",
    ]
    lines += [_line(block["name"], block) for block in summary["blocks"]]
    lines.append(f"{'pair':12}{'index':>8}  (the {MOST} largest of {len(summary['pairs'])})")
    largest = sorted(summary["pairs"], key=lambda pair: -abs(pair["value"]))[:MOST]
    lines += [_line(", ".join(pair["names"]), pair) for pair in largest]
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def _orders(told: dict[str, float] | None) -> list[str]:
    if told is None:
        return []
    return [
        f"{told['count']} random orders: maps from their halves correlate {told['halves']:.2f}, the map from half of "
        f"them with the one from twice as many {told['doubled']:.2f}"
    ]


def _line(name: str, told: dict[str, Any]) -> str:
    control = "none" if told["control"] is None else f"{told['control']:+.2f}"
    return (
        f"{name:12}{told['value']:+8.2f}  [{told['low']:+.2f}, {told['high']:+.2f}]{told['p']:10.4f}  {control:>8}  "
        f"{told['state']}"
    )


def caption(found: Game, figure: str, metric: str) -> str:
    """The caption of the printed map of pairs."""
    shown = (
        "Shapley interaction of two layers in the game where later tokens read the keys and values of "
        f"{position(found.request.position).caption} from the instructed run."
    )
    if said := found.note():
        shown += f" Here {said}."
    against = CONTROL["task"].caption if found.samples.control else ""
    return map_caption(found, metric, shown=shown, cell="pair", value="mean interaction, on the", against=against)


WORDS: Words[Game] = Words(text_of, caption)
