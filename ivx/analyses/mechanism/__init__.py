"""Mechanism: does an instruction change where later heads look, or what they read there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.mechanism.request import MechanismRequest

if TYPE_CHECKING:
    from ivx.analyses.mechanism.result import Mechanism
    from ivx.models.model import Model


def mechanism(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 40,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    heads: int = 6,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Mechanism] | None = None,
) -> Mechanism:
    """What the heads that matter take from an instruction: where they look, what they read, or both.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `MechanismRequest`.

    Raises:
        IvxError: no wordings of both tasks have equal length, too few samples, or attention that cannot be taken apart.
    """
    request = MechanismRequest(
        name_of(model),
        task,
        against=against,
        source_token=source_token,
        target_format=target_format,
        samples=samples,
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        heads=heads,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return MECHANISM.answer(model, request, on_progress=on_progress)


class Parting(Analysis[MechanismRequest, "Mechanism"]):
    """Heads chosen by what they carry, their attention rows and their values swapped apart."""

    request = MechanismRequest
    function = staticmethod(mechanism)
    title = "whether the heads that matter look elsewhere, or read something else"
    page = "mechanism"

    @property
    def steps(self) -> Steps[MechanismRequest, Mechanism]:
        from ivx.analyses.mechanism.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[MechanismRequest, Mechanism]:
        from ivx.analyses.mechanism.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Mechanism]:
        from ivx.analyses.mechanism.text import WORDS

        return WORDS


MECHANISM = Parting()
