"""Function: the heads that carry a task which demonstrations show, as one vector; and whether an instruction's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.vectors import file
from ivx.formats.vector import ADD

if TYPE_CHECKING:
    from ivx.analyses.function.result import FunctionVectors
    from ivx.models.model import Model


def function(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 40,
    template: str = "",
    system: str = "",
    demonstrations: int = 8,
    spelling: str = "auto",
    wording: int | None = None,
    heads: int = 10,
    ranking: str = "logprob",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[FunctionVectors] | None = None,
) -> FunctionVectors:
    """The function vector of a task that demonstrations show (Todd et al.), beside its task vector and its instruction.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `FunctionRequest`.

    Raises:
        IvxError: no demonstrations, too many heads, too few samples, or heads whose shares are no vectors of the
            stream.
    """
    request = FunctionRequest(
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
        ranking=ranking,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return FUNCTION.answer(model, request, on_progress=on_progress)


class HeadSums(Analysis[FunctionRequest, "FunctionVectors"]):
    """Heads ranked by what their mean does, and their sum added to the bare prompt, layer by layer."""

    request = FunctionRequest
    function = staticmethod(function)
    title = "the heads that carry a task shown by demonstrations, as one vector, beside the instruction's"
    page = None
    elsewhere = "No page draws it yet: `ivx function` prints it, and its archive holds the figures."
    extras = file.EXTRAS

    @property
    def steps(self) -> Steps[FunctionRequest, FunctionVectors]:
        from ivx.analyses.function.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[FunctionRequest, FunctionVectors]:
        from ivx.analyses.function.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[FunctionVectors]:
        from ivx.analyses.function.text import WORDS

        return WORDS

    def check_extras(self, **extras: Any) -> None:
        file.check(ADD, **extras)

    def write(self, found: FunctionVectors, **extras: Any) -> None:
        file.write(found, ADD, **extras)


FUNCTION = HeadSums()
