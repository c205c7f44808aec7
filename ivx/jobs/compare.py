"""Compare: the same questions asked of several checkpoints, one after another, and what changed between them.

Every part is a request of its own, answered by the store where it was asked before. A checkpoint is loaded only when
some part of it is missing, and let go before the next one is.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ivx.analyses import defaults
from ivx.analyses.base import names_of
from ivx.analyses.compare.request import FEWEST, MOST, PARTS, Compared
from ivx.analyses.compare.result import Comparison, Member
from ivx.analyses.transplant.result import Transplant
from ivx.analyses.vectors.result import check_shapes
from ivx.errors import IvxError
from ivx.jobs.compute import answered, computed
from ivx.models.load import load
from ivx.models.model import Model
from ivx.models.registry import families
from ivx.request import BaseRequest
from ivx.store.store import Store
from ivx.tasks.spelling import AUTO

Progress = Callable[[str, str, int, int], None]
"""Called with a checkpoint, the part it is at, and how many of how many rows of that are done."""


def compare(
    checkpoints: Sequence[Model | str] | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    position: str = "first",
    target_format: str = "prompt",
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = AUTO,
    wording: int | None = None,
    samples: int = defaults.SAMPLES,
    pair_samples: int = defaults.PAIR_SAMPLES,
    tasks: Sequence[str] = ("all",),
    wordings: int = defaults.WORDINGS,
    seed: int = 0,
    parts: Sequence[str] = PARTS,
    transplant: bool = False,
    matched: bool = False,
    store: Store | None = None,
    on_progress: Progress | None = None,
    dtype: str = "auto",
    device: str = "auto",
    weights: str = "auto",
) -> Comparison:
    """Two to six checkpoints in a row: effect maps, probes, interactions and vectors, and their differences.

    Args:
        checkpoints: names to load or loaded models, the earliest first; or a family's name, such as `tiny`.
        task: `animal/colour`, or a user's file.
        parts: which of effects (always there), separability, interactions and vectors.
        transplant: also patch each checkpoint's vectors into each.
        matched: give transplanted vectors the norm of the receiver's own.
        store: where results are kept (default: the usual place).
        on_progress: what it raises ends the work; what is done is kept.

    The others are as in `Compared`.

    Raises:
        IvxError: too few or too many checkpoints; with `transplant`, checkpoints of different shapes.
    """
    subject = Compared(
        task,
        against=against,
        source_token=source_token,
        position=position,
        target_format=target_format,
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        samples=samples,
        pair_samples=pair_samples,
        tasks=names_of(tasks),
        wordings=wordings,
        seed=seed,
    )
    members = chosen(checkpoints)
    names = names_in(members)
    if strange := [part for part in parts if part not in PARTS]:
        raise IvxError(f"there is no part {', '.join(strange)}: the parts are {', '.join(PARTS)}")
    wanted = [part for part in PARTS if part in parts or part == "effects" or (part == "vectors" and transplant)]
    loading: dict[str, Any]
    store, loading = store or Store(), {"dtype": dtype, "device": device, "weights": weights}
    results = partial(results_of, store=store, loading=loading, on_progress=on_progress)
    measured = tuple(
        Member(name, **results(member, {part: subject.part(part, name, **loading) for part in wanted}))
        for name, member in zip(names, members, strict=True)
    )
    if not transplant:
        return Comparison(subject, measured)
    vectors = {member.name: member.vectors for member in measured if member.vectors is not None}
    check_shapes({name: found.shape for name, found in vectors.items()})
    transplants: dict[tuple[str, str], Transplant] = {}
    for name, member in zip(names, members, strict=True):
        requests: dict[str, BaseRequest] = {
            donor: subject.transplant(name, found.run_id, matched=matched, **loading)
            for donor, found in vectors.items()
        }
        transplants |= {(donor, name): found for donor, found in results(member, requests).items()}
    return Comparison(subject, measured, transplants)


def results_of(
    member: Model | str,
    requests: Mapping[str, BaseRequest],
    *,
    store: Store,
    loading: Mapping[str, Any],
    on_progress: Progress | None,
) -> dict[str, Any]:
    """The results of one checkpoint's requests; it is loaded at the first that is not stored, and then let go."""
    model = None if isinstance(member, str) else member
    name = member if isinstance(member, str) else member.name

    def loaded() -> Model:
        nonlocal model
        model = model or load(name, **loading)
        return model

    found = {}
    for part, request in requests.items():

        def progress(_: Any, done: int, total: int, part: str = part) -> None:
            if on_progress is not None:
                on_progress(name, part, done, total)

        if isinstance(member, str):
            found[part] = answered(store, request, load=loaded, on_progress=progress)
        else:
            found[part] = computed(store, member, request, on_progress=progress)
    model = None
    gc.collect()  # modules refer to each other in cycles, and the next one needs the room
    return found


def chosen(checkpoints: Sequence[Model | str] | str) -> list[Model | str]:
    """The chosen checkpoints: those of a family that is named alone, or those named."""
    named: list[Model | str] = [checkpoints] if isinstance(checkpoints, str) else list(checkpoints)
    if len(named) == 1 and isinstance(named[0], str) and named[0] in families():
        named = list(families()[named[0]])
    if not FEWEST <= len(named) <= MOST:
        known = ", ".join(families())
        raise IvxError(f"{len(named)} checkpoints: compare {FEWEST} to {MOST}, or name a family ({known})")
    return named


def names_in(members: Sequence[Model | str]) -> list[str]:
    """Their names; raises `IvxError` where one is named twice."""
    names = [member if isinstance(member, str) else member.name for member in members]
    if len(set(names)) < len(names):
        raise IvxError(f"checkpoints {', '.join(names)}: name each once")
    return names
