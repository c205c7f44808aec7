"""The patch lens: what every layer of a free prompt reads like, and what one state, moved into another prompt, changes.

A cell is the residual stream after one block at one token, read with the model's final norm and unembedding
(`ivx.engine.lens`). Dropping a cell of one prompt on a cell of another puts the state there, and everything later is
computed anew: in the grid, and in the text that is then written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ivx.analysis.places import shown
from ivx.engine import lens as engine
from ivx.engine.address import Patch
from ivx.engine.drawn import draw_of, drawn
from ivx.engine.generate import Push, Written, generate
from ivx.engine.lens import Spot as Spot
from ivx.models.model import Model
from ivx.tasks.samples import Encoder

MOST = 48
"""Tokens that a prompt may have: more columns could not be read."""
WRITTEN = 12


@dataclass(frozen=True)
class LensCell:
    """One read-out: the most probable tokens with their probabilities, the first of them first.

    `change` is the total variation from the same cell of the unpatched run, and `reached` whether a patch can change
    the cell at all; without a patch they are 0 and True.
    """

    layer: int
    position: int
    token: str
    top: tuple[tuple[str, float], ...]
    change: float = 0.0
    reached: bool = True


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt read layer by layer, and what is written after it.

    Attributes:
        tokens: the prompt's, as they are shown; `first` is the first behind leading special ones.
        cells: layers outside, tokens inside.
        unknown: how many tokens stand for words that the tokenizer does not know.
        control: of a drop, what is written with a random vector of the state's norm in its place.
        receipt: what was read, with the checks that were made on this very prompt.
    """

    tokens: tuple[str, ...]
    cells: tuple[LensCell, ...]
    layers: int
    text: str
    written: Written
    first: int
    unknown: int
    receipt: dict[str, Any]
    control: str = ""

    def cell(self, spot: Spot) -> LensCell:
        """One cell; its position may be negative."""
        return self.cells[spot.layer * len(self.tokens) + spot.position % len(self.tokens)]

    @property
    def table(self) -> pa.Table:
        """One row a cell: `layer, position, token, top, probability, change, reached, more`, the last holds all kept
        tokens with their probabilities."""
        rows = [
            {
                "layer": cell.layer,
                "position": cell.position,
                "token": cell.token,
                "top": cell.top[0][0],
                "probability": cell.top[0][1],
                "change": cell.change,
                "reached": cell.reached,
                "more": [{"token": token, "probability": share} for token, share in cell.top],
            }
            for cell in self.cells
        ]
        return pa.Table.from_pylist(rows)


def read(
    model: Model,
    prompt: str,
    *,
    chat: bool = False,
    tokens: int = WRITTEN,
    what: str = "prompt",
    beat: Callable[[], None] = lambda: None,
) -> Reading:
    """Read a free prompt with the logit lens, and let the model go on with it.

    Args:
        chat: put it into the checkpoint's chat template, as a user's turn.
        tokens: the most that are written.
        what: names the prompt in what is refused.
        beat: called now and then; what it raises ends the work.

    Raises:
        TaskError: an empty prompt, one of more than 48 tokens, or no chat template.
    """
    ids = Encoder(model.tokenizer).free(prompt, chat=chat, what=what, most=MOST)
    beat()
    found = engine.lens(model, ids)
    (written,) = generate(model, [ids], tokens=tokens, beat=beat)
    return _reading(model, found, written, told={"prompt": prompt, "chat": chat})


def drop(
    model: Model,
    source: str,
    target: str,
    *,
    take: Spot,
    put: Spot,
    chat: bool = False,
    tokens: int = WRITTEN,
    beat: Callable[[], None] = lambda: None,
) -> Reading:
    """The target prompt read with the source's state at `take` in the place of its own at `put`.

    Raises:
        TaskError: as `read` does. AddressError: a layer or token that is not there.
    """
    encoder = Encoder(model.tokenizer)
    theirs, own = (
        encoder.free(text, chat=chat, what=f"{name} prompt", most=MOST)
        for name, text in (("source", source), ("target", target))
    )
    beat()
    found = engine.drop(model, theirs, own, take=take, put=put)
    seed = Patch(engine.SITE, put.layer, put.position, source=take.position)
    chance = drawn(found.state, draw_of(seed, target=own, source=theirs, taken=take.position), heads=model.heads)
    states = torch.stack([found.state, chance])
    push = Push(engine.SITE, put.layer, states, 1.0, (put.position,), "patch")
    written, control = generate(model, [own, own], pushes=[push], tokens=tokens, beat=beat)
    outside = float(found.moved[~found.cone].max(initial=0.0))
    check = {
        "name": "nothing outside the cone moved",
        "passed": outside < 1e-4,
        "deviation": outside,
        "detail": "largest relative change of a stream that the patch cannot reach",
    }
    told = {"source": source, "target": target, "chat": chat, "patch": address(take, put)}
    reading = _reading(model, found.lens, written, told=told, change=found.change, cone=found.cone, checks=[check])
    return replace(reading, control=_text(model, control))


def address(take: Spot, put: Spot) -> str:
    """A drop, as it stands in links: within one layer the patch's address, else both places."""
    same = f"{engine.SITE}.{put.layer}@{put.position}~{take.position}"
    return (
        same
        if take.layer == put.layer
        else f"{engine.SITE}.{take.layer}@{take.position} → {engine.SITE}.{put.layer}@{put.position}"
    )


def _reading(
    model: Model,
    lens: engine.Lens,
    written: Written,
    *,
    told: dict[str, Any],
    change: NDArray[np.float64] | None = None,
    cone: NDArray[np.bool_] | None = None,
    checks: Sequence[dict[str, Any]] = (),
) -> Reading:
    tokens = tuple(shown(model, token) for token in lens.ids)
    names = {int(i): shown(model, int(i)) for i in np.unique(lens.top_ids)}
    cells = tuple(
        LensCell(
            layer,
            position,
            token,
            tuple(
                (names[int(i)], float(share))
                for i, share in zip(lens.top_ids[layer, position], lens.shares[layer, position], strict=True)
            ),
            0.0 if change is None else float(change[layer, position]),
            True if cone is None else bool(cone[layer, position]),
        )
        for layer in range(lens.layers)
        for position, token in enumerate(tokens)
    )
    encoder = Encoder(model.tokenizer)
    own = {
        "name": "last layer is what the model says",
        "passed": lens.deviation < 1e-3,
        "deviation": lens.deviation,
        "detail": "largest deviation of a probability at the last token",
    }
    receipt = {
        **told,
        "checkpoint": model.identity,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "how": "hooks",
        "checks": [own, *checks],
    }
    return Reading(
        tokens,
        cells,
        lens.layers,
        _text(model, written),
        written,
        0 if told["chat"] else min(encoder.leading(), len(tokens) - 1),
        encoder.unknown(lens.ids),
        receipt,
    )


def _text(model: Model, written: Written) -> str:
    return str(model.tokenizer.decode(list(written.ids))).strip()
