"""The paper's variant of the path sum, to be measured beside the exact one.

Each head keeps, for every token, the one token that it attends to most. Along such an edge the paper's step copies the
residual across tokens, adds what *all* heads would write there at full attention, and lets the MLP follow; every layer
takes one edge, so `heads ** layers` paths end at the last token. Steps are linear, so the sum over all of them is taken
layer by layer. Taken one by one, a path counts if its logits alone rank the answer among the first 100; where there
are too many paths, some are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ivx.engine.forward.kernel import mixed, spread
from ivx.engine.linear.fidelity import fidelity_of, own_logits
from ivx.engine.linear.frozen import Attend, frozen
from ivx.engine.linear.records import RANK, Begun, Published, begun
from ivx.engine.linear.surrogate import Surrogate
from ivx.engine.turns import only_user

LISTED = 512
"""Up to this many paths are all listed; of more, this many are drawn at random."""
TOGETHER = 64


def published(
    surrogate: Surrogate, answer: int, *, seed: int = 0, beat: Callable[[], None] = lambda: None
) -> Published:
    """The published path sums of a run of one prompt; `beat` is called now and then, and what it raises ends them."""
    return published_paths(surrogate, answer, seed=seed, beat=beat)[0]


def published_paths(
    surrogate: Surrogate, answer: int, *, seed: int = 0, beat: Callable[[], None] = lambda: None
) -> tuple[Published, tuple[Begun, ...]]:
    """The sums, and of every token how many paths begin at it, and how many of these count."""
    model, run = surrogate.model, surrogate
    own = own_logits(model, run.prompts[0])
    with torch.no_grad():
        most = torch.stack([attention[0].argmax(-1) for attention in run.attention])  # [layers, heads, to]
        states = run.inputs[0].detach()
        tokens, scale = states.shape[1], _ones(states)
        for layer in range(model.layers):
            beat()
            ways = torch.nn.functional.one_hot(most[layer], tokens).sum(0).to(states)
            states, scale = _level(_step(run, layer, states, ways[None]), scale)
        everything = fidelity_of(_logits(run, states, scale)[0], own)
        routes, paths = _routes(run, most, seed)
        total, marks = torch.zeros_like(own, dtype=torch.float64), []
        for start in range(0, len(routes), TOGETHER):
            beat()
            logits = _logits(run, *_along(run, routes[start : start + TOGETHER]))
            counts = (logits > logits[:, answer, None]).sum(1) < RANK
            total = total + logits[counts].sum(0)
            marks.append(counts)
    first, counted = routes[:, 0], torch.cat(marks)
    kept = int(counted.sum())
    ranked = fidelity_of(total * (paths / len(routes)), own) if kept else None
    steps = torch.nn.functional.one_hot(most, tokens).sum(1).cpu().numpy()  # [layers, to, from]
    both = (torch.bincount(which, minlength=tokens).tolist() for which in (first[counted], first))
    starts = tuple(Begun(i, *told) for i, told in enumerate(zip(*both, begun(steps), strict=True)))
    return Published(paths, everything, ranked, kept / len(routes), paths > len(routes)), starts


def _routes(run: Surrogate, most: Tensor, seed: int) -> tuple[Tensor, int]:
    """Tokens of each listed path, from the embedding to the last `[paths, layers + 1]`, and how many there are."""
    layers, heads, tokens = most.shape
    count = heads**layers
    if count <= LISTED:
        chosen = torch.cartesian_prod(*[torch.arange(heads)] * layers).view(-1, layers)
    else:
        chosen = torch.randint(heads, (LISTED, layers), generator=torch.Generator().manual_seed(seed))
    at = torch.full((len(chosen),), tokens - 1, device=most.device)
    route = [at]
    for layer in reversed(range(layers)):
        at = most[layer][chosen[:, layer].to(at.device), at]
        route.append(at)
    return torch.stack(route[::-1], dim=1), count


def _ones(states: Tensor) -> Tensor:
    return torch.ones(len(states), dtype=torch.float64, device=states.device)


def _level(states: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The states as a product of states near 1 and a scale for each row. They grow by as much as there are heads a
    layer, past what float32 can hold at 30 layers, and every step is linear."""
    size = states.abs().amax((1, 2), keepdim=True)
    size = torch.where(size > 0, size, 1)
    return states / size, scale * size.flatten().double()


def _along(run: Surrogate, routes: Tensor) -> tuple[Tensor, Tensor]:
    """States at the end of each path, on its own, and their scales."""
    rows = torch.arange(len(routes), device=routes.device)
    states = torch.zeros(len(routes), *run.inputs[0].shape[1:]).to(run.inputs[0])
    states[rows, routes[:, 0]] = run.inputs[0][0, routes[:, 0]]
    scale = _ones(states)
    for layer in range(run.model.layers):
        ways = torch.zeros(len(routes), states.shape[1], states.shape[1]).to(states)
        ways[rows, routes[:, layer + 1], routes[:, layer]] = 1
        states, scale = _level(_step(run, layer, states, ways), scale)
    return states, scale


def _step(run: Surrogate, layer: int, states: Tensor, ways: Tensor) -> Tensor:
    """One layer of the published step: `states` `[rows, tokens, width]` moved along `ways` `[rows, to, from]`."""
    read: list[Tensor] = []

    def take(_: int, attention: Tensor, values: Tensor) -> Tensor:
        read.append(spread(values, attention.shape[1]))
        return torch.zeros_like(read[-1]).transpose(1, 2)

    def give(*_: object) -> Tensor:
        return torch.matmul(ways[:, None], read[-1]).transpose(1, 2)

    _block(run, layer, states, take)
    return _block(run, layer, torch.matmul(ways, states), give)


def _block(run: Surrogate, layer: int, states: Tensor, attend: Attend) -> Tensor:
    model, arguments = run.model, run.arguments[layer]
    with only_user(model), frozen(model, run.held, _without(run), attend):
        output = model.blocks[layer](states, *arguments["args"], **arguments["named"])
    return output if isinstance(output, Tensor) else output[0]


def _without(run: Surrogate) -> list[Tensor]:
    """Constants of 0: they leave out the biases, as the published sum does."""
    return [torch.zeros(1, 1, 1).to(run.inputs[0])] * (run.model.layers + 1)


def _logits(run: Surrogate, states: Tensor, scale: Tensor) -> Tensor:
    """Frozen logits `[rows, vocabulary]`, float64, of states after the last block and their scales."""
    model = run.model

    def instead(module: object, args: tuple, output: Any) -> Any:
        return states if isinstance(output, Tensor) else (states, *output[1:])

    hook = model.blocks[-1].register_forward_hook(instead)
    try:
        with only_user(model), frozen(model, run.held, _without(run), mixed):
            found = model.hf(input_ids=run.ids, use_cache=False, logits_to_keep=1).logits[:, -1]
            return found.double() * scale[:, None]
    finally:
        hook.remove()
