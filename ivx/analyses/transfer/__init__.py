"""Circuit transfer: whether the heads that one task needs carry another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.transfer.request import TransferRequest

if TYPE_CHECKING:
    from ivx.analyses.transfer.result import Transfer
    from ivx.models.model import Model


def transfer(
    model: Model | str,
    tasks: Sequence[str] = ("all",),
    *,
    target_format: str = "prompt",
    samples: int = 40,
    heads: int = 8,
    ranking: str = "pathways",
    fill: str = "mean",
    draws: int = 10,
    seed: int = 0,
    dtype: str = "float32",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Transfer] | None = None,
) -> Transfer:
    """Keep the strongest heads of one task, ablate all others, and ask another; for all pairs of 2 to 6 tasks.

    Args:
        model: a loaded model, or a name to load.
        tasks: names, or users' files, each of which holds both tasks of a pair.
        on_progress: called with the result so far after each task; what it raises ends the work.

    The others are as in `TransferRequest`.

    Raises:
        IvxError: fewer than 2 tasks are named, or more than 6. TaskError: one has fewer than 4 queries.
        UnsupportedArchitecture: heads are ranked by pathways, which would not be exact on this model.
    """
    request = TransferRequest(
        name_of(model),
        names_of(tasks),
        target_format=target_format,
        samples=samples,
        heads=heads,
        ranking=ranking,
        fill=fill,
        draws=draws,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return TRANSFER.answer(model, request, on_progress=on_progress)


class Carried(Analysis[TransferRequest, "Transfer"]):
    """Every task's circuit tried on every task."""

    request = TransferRequest
    function = staticmethod(transfer)
    title = "whether the heads that one task needs carry another"
    page = "pathways"
    measured = False

    @property
    def steps(self) -> Steps[TransferRequest, Transfer]:
        from ivx.analyses.transfer.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[TransferRequest, Transfer]:
        from ivx.analyses.transfer.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Transfer]:
        from ivx.analyses.transfer.text import WORDS

        return WORDS


TRANSFER = Carried()
