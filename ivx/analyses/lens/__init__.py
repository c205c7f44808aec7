"""The patch lens: a logit lens on every layer of a prompt, and what changes when a state is patched in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.lens.request import LensRequest

if TYPE_CHECKING:
    from ivx.analyses.lens.result import Reading
    from ivx.models.model import Model


def lens(
    model: Model | str,
    prompt: str,
    *,
    source: str | None = None,
    take: str = "",
    put: str = "",
    chat: bool = False,
    task: str = "",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Reading] | None = None,
) -> Reading:
    """A prompt read layer by layer, as it is or with a state of another one in it, and what is written after it.

    Args:
        model: a loaded model, or a name to load.
        prompt: the text that is read.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `LensRequest`.

    Raises:
        TaskError: an empty prompt, one of more than 48 tokens, or no chat template.
        AddressError: a layer or token that is not there.
    """
    request = LensRequest(
        name_of(model),
        prompt,
        source=source,
        take=take,
        put=put,
        chat=chat,
        task=task,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return LENS.answer(model, request, on_progress=on_progress)


class LogitLens(Analysis[LensRequest, "Reading"]):
    """A prompt read with the model's own last norm and unembedding."""

    request = LensRequest
    function = staticmethod(lens)
    title = "what every layer reads in a prompt, as it is or with another's state"
    page = None
    elsewhere = "The page Patch lens reads any two prompts anew."
    measured = False

    @property
    def steps(self) -> Steps[LensRequest, Reading]:
        from ivx.analyses.lens.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[LensRequest, Reading]:
        from ivx.analyses.lens.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Reading]:
        from ivx.analyses.lens.text import WORDS

        return WORDS


LENS = LogitLens()
