"""Reading runs: later tokens read one token's keys and values from another run; the token itself is not patched.

At every block of a coalition, the keys and values at position p are computed from the source's residual input to that
block, at p's own rotary position. Nothing is overwritten: p's stream stays the target's, so the choices made at
different blocks do not interfere at p, and all 2^L coalitions are defined.

By plain hooks: before a chosen block p's stream is set to the source's, from which the block computes keys and values;
after the block it is set back to the target's. One row of a batch is one sample under one coalition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import KEYS_VALUES, Patch, coalition, resolve
from ivx.engine.hooks.capture import PlaceStates, states_of
from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import Writes, write
from ivx.engine.readout import Answer
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Prompts, by_length
from ivx.errors import IvxError
from ivx.models.memory import free_bytes
from ivx.models.model import Model


class Row(NamedTuple):
    """One sample under one coalition of blocks."""

    sample: int
    blocks: tuple[int, ...]


def read_runs(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[Answer],
    contrast: Sequence[Answer],
    position: int,
    coalitions: Sequence[Sequence[int]],
    beat: Callable[[], None] = lambda: None,
) -> Iterator[pa.RecordBatch]:
    """Rows of every sample under every coalition, as they finish, with the columns of `ivx.sweep`.

    Args:
        source, target: token ids per sample; states are taken from each source's last token.
        position: in the target, from its end when negative; a token must follow it.
        coalitions: the blocks of each coalition; the empty one is the unpatched run.
        beat: called before each pass; what it raises ends the work.

    Raises:
        AddressError: a prompt without that position. IvxError: no token follows it.
    """
    places = sorted((site, layer) for site in ("resid_pre", "resid_post") for layer in range(model.layers))
    at = [_position(position, ids, sample) for sample, ids in enumerate(target)]
    with only_user(model):
        sources, targets = (states_of(model, prompts, places, beat=beat) for prompts in (source, target))
    memory_gb = FREE_SHARE * free_bytes(str(model.device)) / 1e9
    for length, samples in by_length(target).items():
        beat()
        base = _logits(model, [Row(i, ()) for i in samples], target, sources, targets, at)
        goals = readout.Goals([answer[i] for i in samples], [contrast[i] for i in samples], base)
        rows = [Row(sample, tuple(blocks)) for sample in samples for blocks in coalitions]
        step = rows_within(model, length, memory_gb)
        for start in range(0, len(rows), step):
            beat()
            part = rows[start : start + step]
            yield readout.batch(
                _logits(model, part, target, sources, targets, at),
                goals=goals,
                of=[samples.index(row.sample) for row in part],
                samples=[row.sample for row in part],
                patches=[coalition(row.blocks, position) for row in part],
            )


def _position(position: int, ids: Sequence[int], sample: int) -> int:
    found = resolve(
        position, length=len(ids), patch=Patch(KEYS_VALUES, 0, position, source=-1), run="target", sample=sample
    )
    if found == len(ids) - 1:
        raise IvxError(f"no token follows position {position} of sample {sample}, so nothing reads its keys and values")
    return found


def _logits(
    model: Model, rows: Sequence[Row], target: Prompts, sources: PlaceStates, targets: PlaceStates, at: Sequence[int]
) -> Tensor:
    writes: dict[tuple[str, int], Writes] = {}
    for layer in range(model.layers):
        given, kept = Writes(), Writes()
        for k, row in enumerate(rows):
            if layer in row.blocks:
                _add(given, k, at[row.sample], sources[row.sample]["resid_pre", layer][-1])
                _add(kept, k, at[row.sample], targets[row.sample]["resid_post", layer][at[row.sample]])
        if given.rows:
            writes["resid_pre", layer], writes["resid_post", layer] = given, kept
    ids = torch.tensor([target[row.sample] for row in rows], device=model.device)
    with only_user(model), torch.inference_mode(), write(model, writes):
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def _add(writes: Writes, row: int, position: int, value: Tensor) -> None:
    writes.rows.append(row)
    writes.positions.append(position)
    writes.heads.append(-1)
    writes.values.append(value)
