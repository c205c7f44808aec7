"""Reading and writing a model's sites with plain forward hooks.

Three context managers: `read` keeps the states that are asked for, `write` overwrites states of a batch, `visited` lets
any function see and replace them. All leave the model as it was, whatever happens inside. What a site is on a given
architecture comes from its `Anatomy`: `attn_out` and `mlp_out` are what is *added* to the residual stream (after the
norm, on post-norm blocks). The sites inside attention are `ivx.engine.hooks.inside`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ivx.engine.address import HEADED, INSIDE
from ivx.engine.hooks.inside import Visit, visited_inside
from ivx.models.model import Model

Place = tuple[str, int]
"""A site without its head: (name, layer)."""


@dataclass
class Writes:
    """States to put at one place of a batch: `values[k]` goes to row `rows[k]`, token `positions[k]`, head `heads[k]`.

    `heads` holds -1 throughout for every site that has no heads.
    """

    rows: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


@contextmanager
def read(model: Model, places: Iterable[Place], *, token: int | None = None) -> Iterator[dict[Place, Tensor]]:
    """Collect the states at `places` while the model runs: `[batch, tokens, width]`, those of heads side by side.

    With `token`, only that token's state is kept, `[batch, width]`, so the other activations can be freed.
    """
    seen: dict[Place, Tensor] = {}

    def keep(place: Place) -> Callable[[Tensor], None]:
        def visit(state: Tensor) -> None:
            seen[place] = state if token is None else state[:, token].clone()

        return visit

    with visited(model, {place: keep(place) for place in places}):
        yield seen


@contextmanager
def write(model: Model, writes: dict[Place, Writes]) -> Iterator[None]:
    """Overwrite states of the batch that runs inside the context."""

    def put(place: Place, w: Writes) -> Callable[[Tensor], Tensor]:
        device = model.device
        rows, positions = torch.tensor(w.rows, device=device), torch.tensor(w.positions, device=device)
        values = torch.stack(w.values)

        def visit(state: Tensor) -> Tensor:
            state = state.clone(memory_format=torch.contiguous_format)
            if place[0] in HEADED:
                by_head = state.view(*state.shape[:-1], heads_at(model, place[0]), -1)
                by_head[rows, positions, torch.tensor(w.heads, device=device)] = values.to(state)
            else:
                state[rows, positions] = values.to(state)
            return state

        return visit

    with visited(model, {place: put(place, w) for place, w in writes.items()}):
        yield


def heads_at(model: Model, site: str) -> int:
    """How many heads a site has that has any: of keys and values, the key heads."""
    return model.key_heads if site in ("k", "v") else model.heads


@contextmanager
def visited(model: Model, visits: Mapping[Place, Visit]) -> Iterator[None]:
    """Let each visit see, and perhaps replace, the state of its place in every pass that runs inside the context."""
    by_layer: dict[int, dict[str, Visit]] = defaultdict(dict)
    for (site, layer), visit in visits.items():
        if site not in INSIDE:
            by_layer[layer][site] = visit
    inside = {place: visit for place, visit in visits.items() if place[0] in INSIDE}
    with ExitStack() as stack, visited_inside(model, inside):
        for layer, sites in by_layer.items():
            for handle in _hook_block(model, layer, sites):
                stack.callback(handle.remove)
        yield


def _hook_block(model: Model, layer: int, visits: dict[str, Visit]) -> Iterator[Any]:
    """Register the hooks of one block, in the order in which its sites are computed."""
    facts, block = model.anatomy, model.blocks[layer]
    scale = facts.scale_of(model.hf.config)
    entry: dict[str, Tensor] = {}

    if {"resid_pre", "resid_mid"} & visits.keys():

        def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            state = args[0] if args else kwargs["hidden_states"]
            state = _after(visits.get("resid_pre"), state)
            entry["resid_pre"] = state
            return ((state, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": state})

        yield block.register_forward_pre_hook(before, with_kwargs=True)

    if "z" in visits:

        def before_projection(module: nn.Module, args: tuple) -> tuple:
            return (_after(visits["z"], args[0]), *args[1:])

        yield model.module(layer, facts.projection).register_forward_pre_hook(before_projection)

    if {"attn_out", "resid_mid"} & visits.keys():

        def after_attention(module: nn.Module, args: tuple, output: Any) -> Any:
            added = _first(output) * scale
            added = _after(visits.get("attn_out"), added)
            if "resid_mid" in visits:
                # The stream between attention and MLP is a local variable of the block, so it is set by changing
                # what attention adds to it.
                middle = entry["resid_pre"] + added
                wanted = visits["resid_mid"](middle)
                if wanted is not None:
                    moved = wanted != middle
                    added = torch.where(moved, wanted - entry["resid_pre"], added)
            return _with_first(output, added / scale)

        yield model.module(layer, facts.attn_added).register_forward_hook(after_attention)

    if "mlp_out" in visits:

        def after_mlp(module: nn.Module, args: tuple, output: Any) -> Any:
            return _with_first(output, _after(visits["mlp_out"], _first(output) * scale) / scale)

        yield model.module(layer, facts.mlp_added).register_forward_hook(after_mlp)

    if "resid_post" in visits:

        def after(module: nn.Module, args: tuple, output: Any) -> Any:
            return _with_first(output, _after(visits["resid_post"], _first(output)))

        yield block.register_forward_hook(after)


def _after(visit: Visit | None, state: Tensor) -> Tensor:
    changed = visit(state) if visit else None
    return state if changed is None else changed


def _first(output: Any) -> Tensor:
    """The tensor that a block or attention module returns: by version and module, alone or first in a tuple."""
    return output if isinstance(output, Tensor) else output[0]


def _with_first(output: Any, first: Tensor) -> Any:
    return first if isinstance(output, Tensor) else (first, *output[1:])
