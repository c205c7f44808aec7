"""What is written on a picture: title, what it is of, and caption, so that it can be read wherever it is pasted."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from ivx.analyses.base import Result
from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.place.result import Place
from ivx.analyses.registry import analysis_of
from ivx.patching import gate
from ivx.stats.metrics import METRICS, find
from ivx.vocabulary import position, source_token

Shown = Result[Any] | Exchange
LISTED = 3
"""Most tasks that are named."""
_SENTENCE = re.compile(r"(?<=[.]) (?=[A-Z])")


def title(one: Shown) -> str:
    """What a result shows, as a title."""
    if isinstance(one, Exchange):
        return "What each checkpoint’s vectors do in each"
    told = analysis_of(one.request.kind).title
    return told[0].upper() + told[1:]


def about(results: Sequence[Shown], metric: str) -> list[str]:
    """What must be said first, then of what the picture is: checkpoints, task, numbers of samples, and metric."""
    said = list(dict.fromkeys(filter(None, (gate.sentence(one.receipt) for one in results))))
    names = dict.fromkeys(name for one in results for name in _checkpoints(one))
    tasks = dict.fromkeys(task for one in results if (task := _task(one)))
    counts: dict[str, int] = {_kind(one): _n(one) for one in results}
    if len(set(counts.values())) == 1:
        n = f"n = {next(iter(counts.values()))}"
    else:
        n = "n = " + ", ".join(f"{count} ({kind})" for kind, count in counts.items())
    measured = any(isinstance(one, Exchange) or analysis_of(one.request.kind).measured for one in results)
    read = [f"{find(metric).label} ({find(metric).unit})"] if measured else []
    return [*said, " · ".join(filter(None, [", ".join(names), "; ".join(tasks), n, *read]))]


def _kind(one: Shown) -> str:
    return "exchange" if isinstance(one, Exchange) else one.request.kind


def _checkpoints(one: Shown) -> tuple[str, ...]:
    return one.names if isinstance(one, Exchange) else (str(one.receipt["checkpoint"]["name"]),)


def _task(one: Shown) -> str:
    """The task against its contrast, or how many tasks there are."""
    if isinstance(one, Exchange):
        return "" if len(one.tasks) == 1 else ", ".join(one.tasks)
    task, contrast = getattr(one.request, "task", ""), one.receipt.get("contrast")
    if task:
        return f"{task} against {contrast}" if contrast else str(task)
    tasks = getattr(one, "tasks", ())
    return f"{len(tasks)} tasks" if len(tasks) > LISTED else ", ".join(tasks)


def _n(one: Shown) -> int:
    if isinstance(one, Exchange):
        return min(cell.n for cell in one.cells())
    return len(one.parts.confirming) if isinstance(one, Place) else int(one.receipt["samples"])


def captions(results: Sequence[Shown], metric: str, *, drawn: Collection[str] = ()) -> list[str]:
    """A paragraph for each result: the captions of its figures, each sentence once, without the checkpoint, task and
    number of samples that stand above, and with its run.

    Args:
        drawn: the names of the figures that are shown; all where none is named.
    """
    told: dict[str, None] = {}
    found = []
    for one in results:
        above = tuple(f"{name}, " for name in _checkpoints(one))
        said = [text for text in _sentences(one, metric, drawn) if text not in told and not text.startswith(above)]
        told |= dict.fromkeys(said)
        runs = [run for run in _runs(one) if not any(run in text for text in said)]
        named = f"ivx run{'s' * (len(runs) > 1)} {', '.join(runs)}." if runs else ""
        found.append(" ".join(filter(None, [*said, named])))
    return found


def _sentences(one: Shown, metric: str, drawn: Collection[str]) -> dict[str, None]:
    if isinstance(one, Exchange):
        return dict.fromkeys(_SENTENCE.split(_exchanged(one, metric)))
    words, names = analysis_of(one.request.kind).words, [name for name in one.figure_names if name in drawn]
    texts = [words.under(one, name, metric) for name in names or one.figure_names]
    return dict.fromkeys(filter(None, (said for text in texts for said in _SENTENCE.split(text))))


def _exchanged(found: Exchange, metric: str) -> str:
    """The caption of the matrices of an exchange."""
    layers, view = ", ".join(map(str, found.averaged)), find(metric)
    asked = next(iter(found.transplants.values())).request
    taken, put = source_token(asked.source_token).caption, position(asked.position).caption
    return (
        f"Each cell of the matrix puts {taken}, as its row’s checkpoint has it, on {put} of the bare prompt in its "
        f"column’s, in layer {layers}: the share of n = {_n(found)} queries whose likeliest token is the answer, and "
        f"the mean {METRICS[metric].about} with its 95 % interval, in {view.unit}. Hatched: no better than another "
        "task’s vector; grey: not different from 0."
    )


def _runs(one: Shown) -> list[str]:
    return [each.run_id for each in one.transplants.values()] if isinstance(one, Exchange) else [one.run_id]
