"""The vector bench: an instruction's mean vector, put into bare prompts at growing strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.bench.request import BenchRequest

if TYPE_CHECKING:
    from ivx.analyses.bench.result import Bench
    from ivx.models.model import Model


def bench(
    model: Model | str,
    task: str,
    layer: int,
    *,
    place: str = "first",
    way: str = "add",
    texts: Sequence[str] = (),
    samples: int = 40,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Bench] | None = None,
) -> Bench:
    """How often the model follows an instruction when its mean vector is put in, by strength, with controls.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        layer: layer that the vector is read from, and put into.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `BenchRequest`.

    Raises:
        TaskError: no such task; a text that is empty or too long. AddressError: no such layer.
    """
    request = BenchRequest(
        name_of(model),
        task,
        layer,
        place=place,
        way=way,
        texts=names_of(texts),
        samples=samples,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return BENCH.answer(model, request, on_progress=on_progress)


class Strengths(Analysis[BenchRequest, "Bench"]):
    """How often the model follows the instruction, by the vector's strength, beside two controls."""

    request = BenchRequest
    function = staticmethod(bench)
    title = "how often prompts follow an instruction's mean vector, by its strength"
    page = "bench"
    measured = False

    @property
    def steps(self) -> Steps[BenchRequest, Bench]:
        from ivx.analyses.bench.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[BenchRequest, Bench]:
        from ivx.analyses.bench.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Bench]:
        from ivx.analyses.bench.text import WORDS

        return WORDS


BENCH = Strengths()
