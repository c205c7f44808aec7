"""Given vectors: rows whose patched state is a tensor that the caller gives, not a state of a run; by batched hooks.

A state that was edited first has no address to take it from. Samples of one length go through the model together, as
many at a time as fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import HEADED, spots
from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import Writes, write
from ivx.engine.readout import Answer
from ivx.engine.schema import SCHEMA
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Prompts, by_length, checked
from ivx.errors import IvxError
from ivx.models.memory import free_bytes
from ivx.models.model import Model


def patched(
    model: Model,
    *,
    target: Prompts,
    answer: Sequence[Answer],
    contrast: Sequence[Answer] | None = None,
    patches: Sequence[tuple[str, Tensor | None]],
    beat: Callable[[], None] = lambda: None,
) -> pa.Table:
    """The rows of `ivx.sweep` where given vectors are patched in.

    Args:
        target, answer, contrast: token ids per sample, as in a sweep.
        patches: (address, vectors): one token of one site other than `z`, and what is written there
            `[samples, width]`; the empty address, with None, is the unpatched run.
        beat: called before each pass; what it raises ends the work.

    Returns:
        One row per sample × patch, sorted by patch in the order given, then by sample. `kl_reference` is null.

    Raises:
        AddressError: a place that this model or sample does not have. IvxError: a site that takes no vector.
    """
    asked = checked(
        model,
        source=target,
        target=target,
        answer=answer,
        patches=[address for address, _ in patches if address],
        contrast=contrast,
        reference=None,
    )
    for address, patch_set in asked.patches.items():
        odd = patch_set[0].site in HEADED and (patch_set[0].site != "z" or patch_set[0].head is None)
        if len(patch_set) != 1 or odd or patch_set[0].position is None:
            raise IvxError(f"{address}: a vector is written at one token of one site other than z, or of one head of z")
        if patch_set[0].value:
            raise IvxError(f"{address}: the vectors given are what is written: leave out ={patch_set[0].value}")
    budget = FREE_SHARE * free_bytes(str(model.device)) / 1e9
    found: dict[int, list[pa.RecordBatch]] = {k: [] for k in range(len(patches))}
    with only_user(model), torch.inference_mode():
        for length, samples in by_length(asked.target).items():
            step = rows_within(model, length, budget)
            for part in (samples[i : i + step] for i in range(0, len(samples), step)):
                ids = torch.tensor([asked.target[i] for i in part], device=model.device)
                contrasts = None if asked.contrast is None else [asked.contrast[i] for i in part]
                goals = readout.Goals([asked.answer[i] for i in part], contrasts, _logits(model, ids))
                for k, (address, vectors) in enumerate(patches):
                    beat()
                    writes = {}
                    if address and vectors is not None:
                        patch = asked.patches[address][0]
                        at = [
                            spots(patch, sample=i, target=asked.target[i], source=asked.target[i])[0][0] for i in part
                        ]
                        values = list(vectors[part].to(model.device))
                        heads = [-1 if patch.head is None else patch.head] * len(at)
                        writes = {(patch.site, patch.layer): Writes(list(range(len(part))), at, heads, values)}
                    with write(model, writes):
                        logits = _logits(model, ids)
                    of = list(range(len(part)))
                    found[k].append(
                        readout.batch(logits, goals=goals, of=of, samples=part, patches=[address] * len(part))
                    )
    tables = [pa.Table.from_batches(found[k], schema=SCHEMA).sort_by("sample") for k in range(len(patches))]
    return pa.concat_tables(tables)


def _logits(model: Model, ids: Tensor) -> Tensor:
    return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
