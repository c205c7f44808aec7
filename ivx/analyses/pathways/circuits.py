"""Circuits: the real model's answer with only some of its heads or edges, all others ablated.

What is left out is ablated at every token: by `zero`; by `mean`, over samples; or by `resample`, its output at the
same token of another sample of equal length. Samples without one cannot be resampled, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.analyses.pathways.faithfulness import Measure
from ivx.analyses.pathways.slots import numbered
from ivx.engine.hooks.capture import states_of
from ivx.engine.hooks.sites import Place
from ivx.engine.linear.ablate import Fill, reads_of, with_edges, with_heads
from ivx.engine.workload import by_length
from ivx.models.model import Model
from ivx.stats.intervals import Array
from ivx.tasks.sample import Sample

ROWS = 128
"""Prompts in one pass."""

Beat = Callable[[], None]
"""Called before each pass; what it raises ends the work."""
Run = Callable[[Sequence[int], NDArray[np.bool_]], Tensor]
"""Takes samples of one length and sets; returns the logits of every sample under every set, set by set."""


def mean_heads(model: Model, samples: Sequence[Sample], *, beat: Beat) -> list[Tensor]:
    """For each layer, z of all heads as its mean over all tokens of all samples' instructed prompts."""
    places = [("z", layer) for layer in range(model.layers)]
    states = states_of(model, [s.instructed for s in samples], places, beat=beat)
    return [torch.cat([found[place] for found in states]).mean(0) for place in places]


def of_heads(
    model: Model,
    samples: Sequence[Sample],
    ablation: str,
    *,
    seed: int,
    beat: Beat,
    means: Sequence[Tensor] | None = None,
) -> Measure | None:
    """The measure of sets of heads `[layers × heads]`; None where no sample can be ablated.

    `mean` is over all tokens of all samples, as of a patch `z.l.h@*=mean`, or what `means` has for each layer;
    `resample` takes each head's output at the same token of another sample of equal length, and leaves out samples
    without one.
    """
    places = [("z", layer) for layer in range(model.layers)]
    states = states_of(model, [s.instructed for s in samples], places, beat=beat) if ablation == "resample" else []
    partner = _partners(samples, seed) if ablation == "resample" else {i: i for i in range(len(samples))}
    if not partner:
        return None
    nothing = torch.zeros(1, 1, 1, device=model.device, dtype=model.dtype)
    if ablation == "mean" and means is None:
        means = mean_heads(model, samples, beat=beat)
    given = dict(zip(places, means or (), strict=False)) if ablation == "mean" else {}

    def fill(place: Place, members: Sequence[int], copies: int) -> Tensor:
        if ablation == "resample":
            return torch.stack([states[partner[i]][place] for i in members]).repeat(copies, 1, 1)
        return given.get(place, nothing)

    def run(members: Sequence[int], kept: NDArray[np.bool_]) -> Tensor:
        heads = torch.from_numpy(kept.reshape(len(kept), model.layers, model.heads)).repeat_interleave(
            len(members), dim=0
        )
        prompts = [samples[i].instructed for i in members] * len(kept)
        return with_heads(model, prompts, heads, [fill(place, members, len(kept)) for place in places])

    return _measure(samples, sorted(partner), run, beat)


def of_edges(
    model: Model,
    samples: Sequence[Sample],
    ablation: str,
    keys: Sequence[Sequence[str]],
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int,
    beat: Beat,
) -> Measure | None:
    """The measure of sets of edges `[layers × heads × pairs]`; edges of no pair are never kept; None as for heads.

    `mean` is what a head writes along an edge between the same two slots, over all samples.

    Args:
        keys: slots of each sample's tokens.
        pairs: slots (from, to).
    """
    total = model.layers * model.heads * len(pairs)
    first = np.arange(0, total, len(pairs)).reshape(model.layers, model.heads, 1, 1)
    places = [numbered(found, pairs) for found in keys]
    partner = _partners(samples, seed) if ablation == "resample" else {i: i for i in range(len(samples))}
    if not partner:
        return None
    means = _mean_edges(model, samples, places, len(pairs), beat) if ablation == "mean" else []

    def fill(members: Sequence[int], copies: int) -> Fill | None:
        if ablation == "zero":
            return None
        if ablation == "resample":
            others = reads_of(model, [samples[partner[i]].instructed for i in members])
            return lambda layer, left: others[layer].along(left)
        pair = torch.from_numpy(np.stack([places[i] for i in members])).to(model.device).repeat(copies, 1, 1)
        # Edges of no pair share the last mean.
        pair = torch.where(pair < 0, len(pairs), pair)

        def written(layer: int, left: Tensor) -> Tensor:
            counts = means[layer].new_zeros(*left.shape[:3], len(pairs) + 1)
            counts.scatter_add_(-1, pair[:, None].expand(left.shape), left.to(counts.dtype))
            return counts @ means[layer]

        return written

    def run(members: Sequence[int], kept: NDArray[np.bool_]) -> Tensor:
        which = np.stack([np.where(places[i] < 0, total, first + places[i]) for i in members])
        edges = torch.from_numpy(np.concatenate([np.append(one, False)[which] for one in kept]))
        prompts = [samples[i].instructed for i in members] * len(kept)
        return with_edges(model, prompts, edges, fill=fill(members, len(kept)))

    return _measure(samples, sorted(partner), run, beat)


def _mean_edges(
    model: Model, samples: Sequence[Sample], places: Sequence[NDArray[np.intp]], pairs: int, beat: Beat
) -> list[Tensor]:
    """By layer, heads' mean write along an edge of each pair of slots, and of no pair: `[heads, pairs + 1, width]`."""
    sums: list[Tensor] = []
    counts = torch.zeros(pairs + 1, dtype=model.dtype, device=model.device)
    for sample, place in zip(samples, places, strict=True):
        beat()
        pair = torch.from_numpy(np.where(place < 0, pairs, place)).to(model.device)
        # Tokens read no later token, so those pairs of tokens are no edges.
        counts += torch.bincount(pair[torch.ones_like(pair).tril().bool()], minlength=pairs + 1)
        found = [reads.by_kind(pair, pairs + 1) for reads in reads_of(model, [sample.instructed])]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    return [total / counts.clamp(min=1)[:, None] for total in sums]


def _measure(samples: Sequence[Sample], chosen: Sequence[int], run: Run, beat: Beat) -> Measure:
    groups = by_length([samples[i].instructed for i in chosen])

    def measure(sets: Sequence[NDArray[np.bool_]]) -> Array:
        m = np.zeros((len(sets), len(chosen)))
        for columns in groups.values():
            members = [chosen[k] for k in columns]
            answer, contrast = (
                torch.tensor([getattr(samples[i], name) for i in members]) for name in ("answer_id", "contrast_id")
            )
            step = max(1, ROWS // len(members))
            for start in range(0, len(sets), step):
                beat()
                part = np.stack(sets[start : start + step])
                logits = run(members, part).double().cpu().unflatten(0, (len(part), len(members)))
                rows = torch.arange(len(members))
                found = logits[:, rows, answer] - logits[:, rows, contrast]
                m[start : start + step, columns] = found.numpy()
        return m

    return measure


def _partners(samples: Sequence[Sample], seed: int) -> dict[int, int]:
    """For each sample, another whose instructed prompt is equally long; samples without one are left out."""
    rng = np.random.default_rng(seed)
    found: dict[int, int] = {}
    for members in by_length([sample.instructed for sample in samples]).values():
        if len(members) > 1:
            order = rng.permutation(members).tolist()
            found |= dict(zip(order, [*order[1:], order[0]], strict=True))
    return dict(sorted(found.items()))
