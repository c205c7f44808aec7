"""Estimates: attribution patching, every address of a sweep from one forward and two backward passes a sample.

A patch changes a logit by about (source state − target state) · gradient at the target run (Nanda 2023). That is exact
for a linear model and poor where the model is not: an estimate orders work and fills a map at once, and is never
reported as a result. Of a set the estimates are added, so `=own` moves nothing: what a later patch overwrites of an
earlier one is of second order (`ivx.engine.linear.curvature`). Integrated gradients would need a forward pass for each
address and step, so as many as the exact sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine.address import OWN, RANDOM, Patch, spots
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks.capture import PlaceStates, states_of
from ivx.engine.hooks.sites import Place, read
from ivx.engine.workload import Prompts, Workload, by_length, checked
from ivx.models.model import Model

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("patch", pa.string()),
        ("logit", pa.float64()),
        ("contrast", pa.float64()),
        ("estimate", pa.bool_()),
    ]
)


def estimate(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[int],
    patches: Sequence[str],
    contrast: Sequence[int] | None = None,
) -> pa.Table:
    """Estimate what `ivx.sweep` would compute with the same arguments.

    Returns:
        One row per sample × patch, and one per sample for the unpatched target (exact, patch `""`): `sample, patch,
        logit, contrast, estimate`, the last true where the logits are estimates.
    """
    asked = checked(
        model, source=source, target=target, answer=answer, patches=patches, contrast=contrast, reference=None
    )
    places = sorted({(p.site, p.layer) for patch_set in asked.patches.values() for p in patch_set})
    sources = states_of(model, asked.source, places)
    targets, levels, slopes = _slopes(model, asked, places)
    rows = [(i, "", *levels[i], False) for i in range(len(asked.target))]
    for text, patch_set in asked.patches.items():
        for i, level in enumerate(levels):
            moved = [0.0, 0.0]
            for patch in patch_set:
                for delta, place, position in _deltas(model, asked, patch, i, sources, targets):
                    for k, slope in enumerate(slopes[i]):
                        moved[k] += float(delta @ slope[place][position])
            rows.append((i, text, level[0] + moved[0], None if level[1] is None else level[1] + moved[1], True))
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def _slopes(
    model: Model, asked: Workload, places: list[Place]
) -> tuple[PlaceStates, list[tuple[float, float | None]], list[PlaceStates]]:
    """For each target run: its states, its two logits, and the gradients of both with respect to every state."""
    states: PlaceStates = [{} for _ in asked.target]
    levels: list[tuple[float, float | None]] = [(0.0, None)] * len(states)
    slopes: list[PlaceStates] = [[] for _ in states]
    # resid_mid is patched through what attention adds, so its gradient is that of attn_out.
    through = [("attn_out", layer) if site == "resid_mid" else (site, layer) for site, layer in places]
    for samples in by_length(asked.target).values():
        ids = torch.tensor([asked.target[i] for i in samples], device=model.device)
        with torch.enable_grad(), read(model, {*places, *through}) as read_now:
            logits = graph_of(model, ids)
            seen = dict(read_now)  # streamed blocks run again on the way back, and would be read again
            for token in (asked.answer, asked.contrast):
                if token is None:
                    continue
                wanted = torch.tensor([token[i] for i in samples], device=model.device)
                # Samples are independent, so the gradient of the sum holds each one's own.
                total = logits.gather(1, wanted[:, None]).sum()
                found = torch.autograd.grad(total, [seen[p] for p in through], retain_graph=True, allow_unused=True)
                for k, i in enumerate(samples):
                    slopes[i].append(
                        {
                            place: torch.zeros_like(seen[place][k]) if slope is None else slope[k]
                            for place, slope in zip(places, found, strict=True)
                        }
                    )
        for k, i in enumerate(samples):
            states[i] = {place: seen[place][k].detach() for place in places}
            values = logits[k].detach()
            other = None if asked.contrast is None else float(values[asked.contrast[i]])
            levels[i] = (float(values[asked.answer[i]]), other)
    return states, levels, slopes


def graph_of(model: Model, ids: Tensor) -> Tensor:
    """Last-token logits with an autograd graph that begins at the embeddings; the weights get no gradients."""
    hook = model.hf.get_input_embeddings().register_forward_hook(lambda m, a, out: out.detach().requires_grad_())
    try:
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
    finally:
        hook.remove()


def _deltas(
    model: Model, asked: Workload, patch: Patch, sample: int, sources: PlaceStates, targets: PlaceStates
) -> list[tuple[Tensor, Place, int]]:
    """(what would be added, where, at which position) for one patch of one sample."""
    place = (patch.site, patch.layer)
    mean = None
    if patch.value == "mean":
        found = [
            targets[i][place][p]
            for i, (ids, origin) in enumerate(zip(asked.target, asked.source, strict=True))
            for p, _ in spots(patch, sample=i, target=ids, source=origin)
        ]
        mean = torch.stack(found).mean(dim=0)
    deltas = []
    for position, taken in spots(patch, sample=sample, target=asked.target[sample], source=asked.source[sample]):
        here = targets[sample][place][position]
        if patch.value == OWN:
            value = here
        elif patch.ablates:
            value = torch.zeros_like(here) if mean is None else mean
        else:
            value = sources[sample][place][taken]
            if patch.value == RANDOM:
                draw = draw_of(patch, target=asked.target[sample], source=asked.source[sample], taken=taken)
                value = drawn(value, draw, heads=model.heads)
        delta = value - here
        if patch.head is not None:
            part = slice(patch.head * (len(here) // model.heads), (patch.head + 1) * (len(here) // model.heads))
            kept = torch.zeros_like(delta)
            kept[part] = delta[part]
            delta = kept
        deltas.append((delta, place, position))
    return deltas
