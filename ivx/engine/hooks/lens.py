"""The logit lens: every layer's stream read with the model's own final norm and unembedding, token by token.

The last layer's read-out is what the model says. Earlier layers were never trained to be read so, and nothing
calibrates them: what a lens shows there is a way to look, not what the model believes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import STREAM, Patch, Spot, check, resolve
from ivx.engine.forward.seams import Seams
from ivx.engine.hooks.sites import Writes, read, write
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.models.finite import finite
from ivx.models.memory import free_bytes
from ivx.models.model import Model

TOP = 5
"""How many of the most probable tokens are kept of every cell."""


@dataclass(frozen=True, eq=False)
class Lens:
    """Read-outs of one run: the most probable tokens and their probabilities, `[layers, tokens, TOP]`.

    `deviation` is the largest difference of the last layer's probabilities at the last token from the model's own.
    """

    ids: tuple[int, ...]
    top_ids: NDArray[np.int64]
    shares: NDArray[np.float64]
    deviation: float

    @property
    def layers(self) -> int:
        """Number of layers read."""
        return int(self.shares.shape[0])


@dataclass(frozen=True, eq=False)
class Dropped:
    """The read-outs of a run with one cell patched from another run.

    Attributes:
        change: total variation between each cell's distribution before and after, 0 to 1: `[layers, tokens]`.
        moved: change of each cell's stream, relative to its norm before: `[layers, tokens]`.
        cone: cells that can change at all: the patched one, and in later layers those of its token and later tokens.
        state: what was patched in, `[width]`.
    """

    lens: Lens
    change: NDArray[np.float64]
    moved: NDArray[np.float64]
    cone: NDArray[np.bool_]
    state: Tensor


def lens(model: Model, ids: Sequence[int]) -> Lens:
    """Read one prompt at every layer."""
    with only_user(model), torch.inference_mode():
        return _read_out(model, ids, *_run(model, ids))[0]


def drop(model: Model, source: Sequence[int], target: Sequence[int], *, take: Spot, put: Spot) -> Dropped:
    """Read the target prompt with the source's state at `take` patched in at `put`.

    Positions may be negative. Within one layer this is the patch `resid_post.layer@put~take`.

    Raises:
        AddressError: a layer or a token that is not there.
    """
    spots = []
    for spot, ids, run in ((take, source, "source"), (put, target, "target")):
        place = Patch(STREAM, spot.layer, spot.position)
        check(place, layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
        position = resolve(spot.position, length=len(ids), patch=place, run=f"{run} prompt", sample=0)
        spots.append(Spot(spot.layer, position))
    (layer, position), (to, at) = spots
    with only_user(model), torch.inference_mode():
        state = _run(model, source)[0][layer, position].clone()
        before, _ = _run(model, target)
        after, own = _run(model, target, {(STREAM, to): Writes([0], [at], [-1], [state])})
        moved = (after - before).norm(dim=-1) / before.norm(dim=-1)
        found, change = _read_out(model, target, after, own, others=before)
    reached = cone(spots[1], layers=model.layers, tokens=len(target))
    return Dropped(found, change, moved.double().cpu().numpy(), reached, state)


def cone(put: Spot, *, layers: int, tokens: int) -> NDArray[np.bool_]:
    """The cells that a patch of the cell `put` can change: `[layers, tokens]`."""
    found = np.zeros((layers, tokens), dtype=bool)
    found[put.layer, put.position] = True
    found[put.layer + 1 :, put.position :] = True
    return found


def _run(
    model: Model, ids: Sequence[int], writes: dict[tuple[str, int], Writes] | None = None
) -> tuple[Tensor, Tensor]:
    """The stream after every block `[layers, tokens, width]`, with `writes` applied; and the model's own logits at the
    last token `[1, vocabulary]`."""
    places = [(STREAM, layer) for layer in range(model.layers)]
    batch = torch.tensor([list(ids)], device=model.device)
    with write(model, writes or {}), read(model, places) as seen:
        own = model.hf(input_ids=batch, use_cache=False, logits_to_keep=1).logits[:, -1]
    return torch.stack([seen[place][0] for place in places]), own


def _read_out(
    model: Model, ids: Sequence[int], streams: Tensor, own: Tensor, *, others: Tensor | None = None
) -> tuple[Lens, NDArray[np.float64]]:
    """The read-outs of `streams`, in chunks of cells, and their total variation from the read-outs of `others`."""
    layers, tokens, width = streams.shape
    seams, flat = Seams(model, longest=1), streams.reshape(-1, width)

    def shares_of(states: Tensor) -> Tensor:
        return readout.log_probabilities(seams.logits(states)).exp()

    step = max(1, int(FREE_SHARE * free_bytes(str(model.device)) / (6 * model.vocabulary * 8)))
    top_ids, shares, change, deviation = [], [], [], 0.0
    for start in range(0, len(flat), step):
        share = shares_of(flat[start : start + step])
        finite(share, model, what="probabilities read from states")
        best = share.topk(min(TOP, share.shape[1]), dim=1)
        top_ids.append(best.indices.cpu().numpy())
        shares.append(best.values.double().cpu().numpy())
        if others is not None:
            apart = share - shares_of(others.reshape(-1, width)[start : start + step])
            change.append((apart.abs().sum(dim=1) / 2).double().cpu().numpy())
        deviation = float((share[-1] - readout.log_probabilities(own)[0].exp()).abs().max())
    grid = layers, tokens
    found = Lens(
        tuple(ids), np.concatenate(top_ids).reshape(*grid, -1), np.concatenate(shares).reshape(*grid, -1), deviation
    )
    return found, np.concatenate(change).reshape(grid) if change else np.zeros(grid)
