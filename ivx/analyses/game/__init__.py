"""The clean game: in which blocks later tokens read the instruction from one token, and how far these add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.game.request import GameRequest

if TYPE_CHECKING:
    from ivx.analyses.game.result import Game
    from ivx.models.model import Model


def game(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 20,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "first",
    permutations: int = 32,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Game] | None = None,
) -> Game:
    """The clean game of one instruction on one checkpoint: what each block adds by reading one token.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `GameRequest`.
    """
    request = GameRequest(
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
        position=position,
        permutations=permutations,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return GAME.answer(model, request, on_progress=on_progress)


class CleanGame(Analysis[GameRequest, "Game"]):
    """Every coalition of blocks that read one token's keys and values from the instructed run."""

    request = GameRequest
    function = staticmethod(game)
    title = "what each block's reading of one token adds, in all companies"
    page = "interactions"

    @property
    def steps(self) -> Steps[GameRequest, Game]:
        from ivx.analyses.game.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[GameRequest, Game]:
        from ivx.analyses.game.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Game]:
        from ivx.analyses.game.text import WORDS

        return WORDS


GAME = CleanGame()
