"""The atlas, from what is stored, or computed pair by pair: what was done is found again, whenever it is stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ivx.analyses import defaults
from ivx.analyses.base import names_of
from ivx.analyses.compare.atlas import Atlas, Pair, Spotted, spotted
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.published import as_published
from ivx.errors import IvxError
from ivx.jobs import shipped
from ivx.jobs.compute import id_of, result_of
from ivx.models.registry import embedded, families
from ivx.stats.metrics import find
from ivx.store.store import Store
from ivx.tasks import catalogue

if TYPE_CHECKING:
    from ivx.jobs.compare import Progress

MOST = 24
"""Most checkpoints of an atlas."""


def request_of(
    checkpoint: str, task: str, *, samples: int = defaults.SAMPLES, published: bool = False, **more: Any
) -> EffectsRequest:
    """What a pair is asked: as the page Effects asks first, so that runs are shared; or as published."""
    request = defaults.effects(checkpoint, task, **more)
    request = replace(request, samples=samples)
    return as_published(request) if published else request


def chosen(checkpoints: Sequence[str] | str, tasks: Sequence[str] | str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The checkpoints, those of a family that is named alone, and the tasks, all that these share where `all` is named.

    Raises:
        IvxError: none, too many, or one that is named twice.
    """
    names, asked = names_of(checkpoints), names_of(tasks)
    if len(names) == 1 and names[0] in families():
        names = families()[names[0]]
    if not 1 <= len(names) <= MOST or len(set(names)) < len(names):
        raise IvxError(f"checkpoints {', '.join(names) or 'none'}: name 1 to {MOST}, each once, or a family")
    if asked == ("all",):
        collections = {known.collection if (known := embedded(name)) else "english" for name in names}
        if len(collections) > 1:
            raise IvxError("toys and real checkpoints share no task: name the tasks, or ask of the one kind alone")
        asked = tuple(catalogue.tasks(collections.pop()))
    if not asked or len(set(asked)) < len(asked):
        raise IvxError(f"tasks {', '.join(asked) or 'none'}: name one or more, each once, or all")
    return tuple(names), tuple(asked)


def noted(store: Store, request: EffectsRequest, metric: str) -> list[Spotted] | None:
    """The strongest cells of a pair that is stored; None where it is not. They are noted beside the run, which is read
    once.

    Raises:
        IvxError: the checkpoint or the task cannot be found.
    """
    run = shipped.found(store, id_of(store, request))
    if run is None or run.receipt is None:
        return None
    key = f"atlas/{metric}/{run.id}"
    known = store.get(key)
    if isinstance(known, list):
        return [Spotted(*cell) for cell in known]
    found = result_of(run)
    if not isinstance(found, Effects):
        return None
    cells = spotted(found, metric)
    store.put(key, [list(cell) for cell in cells])
    return cells


def there(
    store: Store,
    names: Sequence[str],
    tasks: Sequence[str],
    *,
    metric: str = "contrast",
    loading: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    **more: Any,
) -> Atlas:
    """The atlas of what is stored; computes nothing.

    Args:
        loading: how each checkpoint is loaded, where that is not alike.
        more: as in `request_of`.
    """
    tops: dict[Pair, list[Spotted]] = {}
    refused: dict[Pair, str] = {}
    for task in tasks:
        for name in names:
            try:
                cells = noted(store, request_of(name, task, **more, **loading.get(name, {})), metric)
            except IvxError as error:
                refused[task, name] = str(error)
                continue
            if cells is not None:
                tops[task, name] = cells
    return Atlas(tuple(names), tuple(tasks), find(metric).name, tops, refused, more)


def atlas(
    checkpoints: Sequence[str] | str,
    tasks: Sequence[str] | str,
    *,
    metric: str = "contrast",
    samples: int = defaults.SAMPLES,
    published: bool = False,
    seed: int = 0,
    stored: bool = False,
    store: Store | None = None,
    on_progress: Progress | None = None,
    dtype: str = "auto",
    device: str = "auto",
    weights: str = "auto",
) -> Atlas:
    """Of every checkpoint and task the cell that moves the answer most.

    Every pair is a run of its own: asked again, it is read, so that an atlas that was stopped goes on where it was.

    Args:
        checkpoints: names, or a family's; `checkpoint+adapter` is one with a LoRA adapter.
        tasks: names, or `all`.
        metric: any of effects'.
        published: ask as published (`ivx.AS_PUBLISHED`).
        stored: compute nothing.
        store: where results are kept (default: the usual place).
        on_progress: what it raises ends the work; what is done is kept.

    Raises:
        IvxError: no such checkpoint, task or metric. A pair that cannot be asked is noted with its reason.
    """
    from ivx.jobs.compare import results_of  # reads torch, which a page that draws what is stored does without

    find(metric)
    names, asked = chosen(checkpoints, tasks)
    store = store or Store()
    loading = {"dtype": dtype, "device": device, "weights": weights}
    more: dict[str, Any] = {"samples": samples, "published": published, "seed": seed, **loading}
    found = there(store, names, asked, metric=metric, **more)
    if stored:
        return found
    refused = dict(found.refused)
    for name in names:
        for task in (task for task, of in found.missing if of == name):
            try:
                results_of(
                    name, {task: request_of(name, task, **more)}, store=store, loading=loading, on_progress=on_progress
                )
            except IvxError as error:
                refused[task, name] = str(error)
    again = there(store, names, asked, metric=metric, **more)
    return replace(again, refused={**refused, **again.refused})
