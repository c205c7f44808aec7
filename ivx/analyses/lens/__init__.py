"""The patch lens: a logit lens on every layer of a prompt, and what changes when a state is patched in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ivx.analyses.base import Analysis, Progress, Replayed, Result, Saved, name_of
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
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
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
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
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
    def saved(self) -> Saved[LensRequest, Reading]:
        from ivx.analyses.lens.saved import SAVED

        return SAVED

    def compute(
        self,
        model: Model,
        request: LensRequest,
        *,
        on_progress: Progress[Reading] | None = None,
        known: pa.Table | None = None,
        given: Sequence[Result[Any]] = (),
    ) -> Reading:
        from ivx.analyses.lens.compute import compute

        return compute(model, request, on_progress=on_progress, known=known)

    def replay(
        self,
        model: Model,
        found: Reading,
        *,
        rows: int,
        seed: int,
        beat: Callable[[], None] = lambda: None,
        given: Sequence[Result[Any]] = (),
    ) -> Replayed:
        from ivx.analyses.lens.compute import replay

        names, stored, again = replay(model, found, rows=rows, seed=seed, beat=beat)
        return Replayed(tuple(names), tuple(stored), tuple(again), "probability")

    def text(self, summary: dict[str, Any]) -> str:
        from ivx.analyses.lens.text import text_of

        return text_of(summary)


LENS = LogitLens()
