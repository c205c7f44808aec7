"""Capture: the states of one token of each prompt, at every layer of the sites asked for, in one forward pass each.

Prompts are truncated after that token and run in batches of equal length, so nothing is padded; hooks keep only that
token's state. The states lie in memory, or in memory-mapped files of a given folder, which are never read whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.engine.address import Patch, check
from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import Place, read
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Prompts, by_length
from ivx.errors import IvxError
from ivx.models.finite import finite
from ivx.models.memory import free_bytes
from ivx.models.model import Model

Matrix = NDArray[np.float32]
DISK_FLOOR = 1_000_000_000
"""Bytes of the disk that are left free."""


@dataclass(frozen=True)
class Captured:
    """States by site, `[layers, prompts, width]`; `z` as concatenated heads. `embedding` is `[prompts, width]`."""

    sites: dict[str, Matrix]
    embedding: Matrix

    def states(self, site: str, layer: int) -> Matrix:
        """The states of all prompts at one place, in their order: `[prompts, width]`."""
        return self.sites[site][layer]


def size_of(model: Model, sites: Sequence[str], prompts: int) -> int:
    """Bytes that a capture takes."""
    return 4 * prompts * model.layers * sum(_width(model, site) for site in sites)


def capture(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    sites: Sequence[str],
    positions: Sequence[int] | None = None,
    folder: Path | None = None,
    memory_gb: float | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Captured:
    """Read one token's states at every layer of `sites`, as float32.

    Args:
        prompts: token ids.
        positions: one for each prompt, counted from 0 (default: the last token).
        folder: where `<site>.npy` are written and mapped; without it the states lie in memory.
        memory_gb: bound on the working set beside the weights (default: half of what is free).
        beat: called before each batch; what it raises ends the capture.

    Raises:
        AddressError: a site that this model does not have. IvxError: no room for the states; a prompt without that
            position; states that are not finite.
    """
    for site in sites:
        check(Patch(site, 0, 0), layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
    at = [len(ids) - 1 for ids in prompts] if positions is None else list(positions)
    for k, (ids, position) in enumerate(zip(prompts, at, strict=True)):
        if not 0 <= position < len(ids):
            raise IvxError(f"prompt {k} has {len(ids)} tokens, none at {position}")
    cut = [tuple(ids[: position + 1]) for ids, position in zip(prompts, at, strict=True)]
    budget = memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9
    _check_room(size_of(model, sites, len(cut)), folder, memory_gb)
    found = {site: _room(folder, site, (model.layers, len(cut), _width(model, site))) for site in sites}
    embedded: dict[int, Matrix] = {}
    places = [(site, layer) for site in sites for layer in range(model.layers)]
    for length, members in by_length(cut).items():
        step = rows_within(model, length, budget)
        for part in (members[i : i + step] for i in range(0, len(members), step)):
            beat()
            batch = torch.tensor([cut[k] for k in part], device=model.device)
            with only_user(model), torch.inference_mode(), read(model, places, token=-1) as seen:
                model.hf(input_ids=batch, use_cache=False, logits_to_keep=1)
                embedded.update(
                    zip(part, model.hf.get_input_embeddings()(batch[:, -1]).float().cpu().numpy(), strict=True)
                )
            for (site, layer), state in seen.items():
                found[site][layer, part] = state.float().cpu().numpy()
    for site, states in found.items():
        for layer in range(model.layers):
            finite(states[layer], model, what=f"states at {site}.{layer}")
    settled = {site: _settled(states) for site, states in found.items()}
    return Captured(settled, np.stack([embedded[k] for k in range(len(cut))]))


def capture_singly(
    model: Model, prompts: Sequence[Sequence[int]], *, sites: Sequence[str], beat: Callable[[], None] = lambda: None
) -> Captured:
    """`capture` with one prompt a pass: the slow way, by which a replay checks the quick one."""
    every = [capture(model, [ids], sites=sites, beat=beat) for ids in prompts]
    found = {site: np.concatenate([one.sites[site] for one in every], axis=1) for site in sites}
    return Captured(found, np.concatenate([one.embedding for one in every]))


def _width(model: Model, site: str) -> int:
    return model.heads * model.head_dim if site == "z" else model.width


def _check_room(size: int, folder: Path | None, memory_gb: float | None) -> None:
    if folder is None:
        room = memory_gb * 1e9 if memory_gb else FREE_SHARE * free_bytes("cpu")
        if size > room:
            raise IvxError(
                f"the states take {size / 1e9:.1f} GB and {room / 1e9:.1f} GB of memory are there for them: give a "
                "folder, fewer sites or fewer wordings"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    # A mapped file grows as it is written: on a full disk that would end the process, not raise.
    free = shutil.disk_usage(folder).free - DISK_FLOOR
    if size > free:
        raise IvxError(
            f"the states take {size / 1e9:.1f} GB and {max(0, free) / 1e9:.1f} GB of the disk at {folder} are there "
            "for them: free some, or ask for fewer sites or wordings"
        )


def _room(folder: Path | None, site: str, shape: tuple[int, ...]) -> Matrix:
    if folder is None:
        return np.empty(shape, dtype=np.float32)
    return np.lib.format.open_memmap(folder / f"{site}.npy", mode="w+", dtype=np.float32, shape=shape)


def _settled(states: Matrix) -> Matrix:
    """The finished states; memory-mapped ones are opened again, read-only."""
    if isinstance(states, np.memmap):
        states.flush()
        return np.load(str(states.filename), mmap_mode="r", allow_pickle=False)
    return states


PlaceStates = list[dict[Place, Tensor]]
"""For each sample, its states `[tokens, width]` by place."""


def states_of(
    model: Model, prompts: Prompts, places: list[Place], *, beat: Callable[[], None] = lambda: None
) -> PlaceStates:
    """States of every prompt at some places; `beat` is called before each pass, and what it raises ends the work."""
    found: PlaceStates = [{} for _ in prompts]
    for samples in by_length(prompts).values():
        beat()
        ids = torch.tensor([prompts[i] for i in samples], device=model.device)
        with torch.inference_mode(), read(model, places) as seen:
            model.hf(input_ids=ids, use_cache=False, logits_to_keep=1)
        for k, i in enumerate(samples):
            found[i] = {place: state[k] for place, state in seen.items()}
    return found
