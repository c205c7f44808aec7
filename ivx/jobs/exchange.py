"""Exchange: the vectors of several checkpoints in each of them, task by task, at one place.

Every part is a run of its own, answered by the store where it was asked before. The vectors of all checkpoints are
taken first; then each checkpoint is read once more for what is written into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ivx.analyses import defaults
from ivx.analyses.base import names_of
from ivx.analyses.compare.exchange import Exchange, Key
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.transplant.result import Transplant
from ivx.analyses.vectors.request import VectorsRequest
from ivx.analyses.vectors.result import Vectors, check_shapes
from ivx.jobs.compare import Progress, chosen, names_in, results_of
from ivx.models.model import Model
from ivx.store.store import Store


def exchange(
    checkpoints: Sequence[Model | str] | str,
    tasks: Sequence[str] | str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    position: str = "first",
    layers: str = "",
    target_format: str = "prompt",
    samples: int = defaults.SAMPLES,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    matched: bool = False,
    seed: int = 0,
    store: Store | None = None,
    on_progress: Progress | None = None,
    dtype: str = "auto",
    device: str = "auto",
    weights: str = "auto",
) -> Exchange:
    """Whose vector moves whom, and what post-training taught: the vector, its readers, or both.

    Args:
        checkpoints: two to six names or loaded models, the earliest first; or a family's name, such as `tiny`.
            `checkpoint+adapter` is one with a LoRA adapter merged into it.
        tasks: `animal/colour`, or several.
        layers: where vectors are taken and written, such as `12`; the effects of several are averaged, query by query;
            all by default.
        store: where results are kept (default: the usual place).
        on_progress: what it raises ends the work; what is done is kept.

    The others are as in `TransplantRequest`.

    Raises:
        IvxError: too few or too many checkpoints, or of different shapes.
    """
    members, tasks = chosen(checkpoints), names_of(tasks)
    names = names_in(members)
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "weights": weights}
    results = partial(results_of, store=store or Store(), loading=loading, on_progress=on_progress)
    asked: dict[str, Any] = {
        "against": against,
        "source_token": source_token,
        "target_format": target_format,
        "samples": samples,
        "template": template,
        "system": system,
        "demonstrations": demonstrations,
        "spelling": spelling,
        "wording": wording,
        "seed": seed,
        **loading,
    }
    put: dict[str, Any] = {"position": position, "layers": layers, "matched": matched}
    for name in names:  # a place that is none is refused before anything is computed
        for task in tasks:
            TransplantRequest(name, task, vectors="", **put, **asked)
    vectors: dict[str, dict[str, Vectors]] = {
        name: results(member, {task: VectorsRequest(name, task, **asked) for task in tasks})
        for name, member in zip(names, members, strict=True)
    }
    check_shapes({name: next(iter(taken.values())).shape for name, taken in vectors.items()})
    transplants: dict[Key, Transplant] = {}
    for name, member in zip(names, members, strict=True):
        requests = {
            f"{task}, vectors of {donor}": TransplantRequest(
                name, task, vectors=vectors[donor][task].run_id, **put, **asked
            )
            for task in tasks
            for donor in names
        }
        found = results(member, requests)
        for task in tasks:
            transplants |= {(task, donor, name): found[f"{task}, vectors of {donor}"] for donor in names}
    return Exchange(tuple(names), tasks, transplants)
