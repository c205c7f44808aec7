"""The patch lens: what every layer of a free prompt reads like, and what one state, moved into another prompt, changes.

A cell is the residual stream after one block at one token, read with the model's final norm and unembedding
(`ivx.engine.hooks.lens`). Dropping a cell of one prompt on a cell of another puts the state there, and everything later
is computed anew: in the grid, and in the text that is then written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ivx.analyses.lens.result import MOST, LensCell, Reading, address
from ivx.engine.address import Patch
from ivx.engine.address import Spot as Spot
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks import lens as engine
from ivx.engine.hooks.generate import Push, Written, generate
from ivx.models.doctor import TOLERANCE
from ivx.models.model import Model
from ivx.patching.positions import shown
from ivx.tasks.samples import Encoder

WRITTEN = 12


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
    taken = take.position % len(theirs)
    seed = Patch(engine.SITE, put.layer, put.position % len(own), source=taken)
    chance = drawn(found.state, draw_of(seed, target=own, source=theirs, taken=taken), heads=model.heads)
    states = torch.stack([found.state, chance])
    push = Push(engine.SITE, put.layer, states, 1.0, (put.position,), "patch")
    written, control = generate(model, [own, own], pushes=[push], tokens=tokens, beat=beat)
    outside = float(found.moved[~found.cone].max(initial=0.0))
    check = {
        "name": "nothing outside the cone moved",
        "passed": outside <= TOLERANCE[model.dtype],
        "deviation": outside,
        "detail": "largest relative change of a stream that the patch cannot reach",
    }
    told = {"source": source, "target": target, "chat": chat, "patch": address(take, put)}
    reading = _reading(model, found.lens, written, told=told, change=found.change, cone=found.cone, checks=[check])
    return replace(reading, control=_text(model, control))


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
        "passed": lens.deviation <= TOLERANCE[model.dtype],
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
        0 if told["chat"] else min(encoder.leading, len(tokens) - 1),
        encoder.unknown(lens.ids),
        receipt,
    )


def _text(model: Model, written: Written) -> str:
    return str(model.tokenizer.decode(list(written.ids))).strip()
