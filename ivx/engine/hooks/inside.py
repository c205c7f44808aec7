"""The sites inside attention: queries and keys before rotation, values, and attention rows.

Values and rows are seen where transformers calls its attention kernel. Queries and keys are rotated by then, so they
are taken from the last module that makes them before: a norm, or the projection, of which they may be some columns.
Which module that is, is tried on the checkpoint itself: at token 0, where nothing is turned, it gives what the kernel
is called with; and in the first block it gives equal states for equal tokens wherever they stand. What cannot be told
so is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ivx.engine.address import PATTERN
from ivx.engine.forward.kernel import Call, attending, mixed
from ivx.errors import UnsupportedArchitecture
from ivx.models.doctor import TOLERANCE
from ivx.models.model import Model

Visit = Callable[[Tensor], Tensor | None]
"""Is called with a site's state; the state that it returns, if any, replaces it."""
AFTER_NORM = {
    "q": ("q_norm", "q_layernorm", "query_layernorm"),
    "k": ("k_norm", "k_layernorm", "key_layernorm"),
}
"""Norms of queries and keys, by the names that transformers gives them."""
PROJECTIONS = {"q": ("q_proj",), "k": ("k_proj",)}
TOGETHER = ("c_attn", "qkv_proj", "query_key_value")
"""Projections that make queries, keys and values side by side."""


class Where(NamedTuple):
    """Where a site is had: the module's path from its block, the columns of its output (the first `start` to `stop`),
    and whether the output has its heads before its tokens."""

    path: str
    start: int
    stop: int
    heads_first: bool

    def taken(self, output: Tensor) -> Tensor:
        """The state `[batch, tokens, heads × width]` in the module's output."""
        output = output.transpose(1, 2) if self.heads_first else output
        return (output if output.ndim == 3 else output.flatten(2))[..., self.start : self.stop]

    def put(self, output: Tensor, state: Tensor) -> Tensor:
        """The module's output with this state in it."""
        own = output.transpose(1, 2) if self.heads_first else output
        flat = own.reshape(*own.shape[:2], -1).clone()
        flat[..., self.start : self.stop] = state
        whole = flat.view(own.shape)
        return whole.transpose(1, 2) if self.heads_first else whole


class Split(NamedTuple):
    """How a model's attention is taken apart: where queries and keys are had; None, and why, where they are not."""

    q: Where | None
    k: Where | None
    why: str


_known: WeakKeyDictionary[nn.Module, Split | UnsupportedArchitecture] = WeakKeyDictionary()


def split_of(model: Model) -> Split:
    """A model's split, found once while it is in memory.

    Raises:
        UnsupportedArchitecture: its attention does more than to weigh values, or is not called where it can be seen.
    """
    if model.hf not in _known:
        try:
            _known[model.hf] = _tried(model)
        except UnsupportedArchitecture as error:
            _known[model.hf] = error
    found = _known[model.hf]
    if isinstance(found, UnsupportedArchitecture):
        raise found
    return found


def where_of(model: Model, site: str) -> Where:
    """Where a model's `q` or `k` is had; raises `UnsupportedArchitecture` where no module makes it alone."""
    split = split_of(model)
    where = split.q if site == "q" else split.k
    if where is None:
        raise UnsupportedArchitecture(f"{model.name} ({model.hf.config.model_type}): {split.why}")
    return where


@contextmanager
def visited_inside(model: Model, visits: Mapping[tuple[str, int], Visit]) -> Iterator[None]:
    """Let each visit see, and perhaps replace, the state of its place `[batch, tokens, heads × width]`; a row of
    `pattern` has as many columns a head as there are tokens.

    Raises:
        UnsupportedArchitecture: this model's attention cannot be taken apart.
    """
    if not visits:
        yield
        return
    split_of(model)
    inner = {place: visit for place, visit in visits.items() if place[0] in ("v", PATTERN)}
    with ExitStack() as stack:
        for (site, layer), visit in visits.items():
            if (site, layer) in inner:
                continue
            where = where_of(model, site)
            hook = model.module(layer, where.path).register_forward_hook(_visiting(where, visit))
            stack.callback(hook.remove)
        if inner:
            stack.enter_context(attending(model, _kernel(inner)))
        yield


def _visiting(where: Where, visit: Visit) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        changed = visit(where.taken(output))
        return None if changed is None else where.put(output, changed)

    return hook


def _kernel(visits: Mapping[tuple[str, int], Visit]) -> Callable[[int, Call], Tensor]:
    def kernel(layer: int, call: Call) -> Tensor:
        weights, value = call.weights(), call.value
        if ("v", layer) in visits:
            value = _seen(visits["v", layer], value)
        if (PATTERN, layer) in visits:
            weights = _seen(visits[PATTERN, layer], weights)
        return mixed(layer, weights, value)

    return kernel


def _seen(visit: Visit, state: Tensor) -> Tensor:
    """States `[batch, heads, tokens, width]`, as a visit sees and leaves them."""
    flat = state.transpose(1, 2).flatten(2)
    changed = visit(flat)
    return state if changed is None else changed.unflatten(2, (state.shape[1], -1)).transpose(1, 2)


def _tried(model: Model) -> Split:
    """Run short prompts, watching the kernel and every module that may make queries or keys."""
    length = 5 if 5 not in (model.heads, model.key_heads) else 7
    ids = torch.full((1, length), 3 % model.vocabulary, device=model.device)
    ids[0, length - 2] = 11 % model.vocabulary
    parent = model.anatomy.projection.rpartition(".")[0]
    names = [*AFTER_NORM["q"], *AFTER_NORM["k"], *PROJECTIONS["q"], *PROJECTIONS["k"], *TOGETHER]
    paths = [f"{parent}.{name}" for name in names if _has(model, f"{parent}.{name}")]
    calls: dict[int, Call] = {}
    outputs: dict[tuple[str, int], Tensor] = {}
    given: dict[int, Tensor] = {}

    def kernel(layer: int, call: Call) -> Tensor:
        calls[layer] = call
        return mixed(layer, call.weights(), call.value)

    def keep(path: str, layer: int) -> Callable[..., None]:
        return lambda module, args, output: outputs.__setitem__((path, layer), output)

    def taken(layer: int) -> Callable[..., None]:
        return lambda module, args: given.__setitem__(layer, args[0])

    with torch.inference_mode(), ExitStack() as stack:
        plain = model.hf(input_ids=ids, use_cache=False).logits
        for layer in range(model.layers):
            hook = model.module(layer, model.anatomy.projection).register_forward_pre_hook(taken(layer))
            stack.callback(hook.remove)
            for path in paths:
                stack.callback(model.module(layer, path).register_forward_hook(keep(path, layer)).remove)
        stack.enter_context(attending(model, kernel))
        try:
            again = model.hf(input_ids=ids, use_cache=False).logits
        except (TypeError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise _refused(model, f"its attention cannot be called apart ({first:.120})") from error
    if len(calls) < model.layers:
        raise _refused(model, "its attention is not called through transformers' interface")
    if not _alike(again, plain, model):
        raise _refused(model, "its attention does more than its weights and values tell")
    if any(call.value.shape[1] != model.key_heads or call.query.shape[1] != model.heads for call in calls.values()):
        raise _refused(model, "its kernel is called with another number of heads than its config tells")
    for layer, call in calls.items():
        z = mixed(layer, call.weights(), call.value).flatten(2)
        if given[layer].shape != z.shape or not _alike(given[layer], z, model):
            raise _refused(model, "more stands between its heads and their projection than what they read")
    found = {site: _found(model, site, paths, calls, outputs) for site in ("q", "k")}
    lacking = " and ".join({"q": "queries", "k": "keys"}[site] for site, where in found.items() if where is None)
    fused = any(path.endswith(name) for path in paths for name in TOGETHER)
    together = "they are made together with the others, in an order not known"
    reason = together if fused else "no module gives what the kernel is called with, but for its rotation"
    return Split(found["q"], found["k"], f"{lacking} before rotation cannot be had: {reason}; patch v or pattern")


def _refused(model: Model, why: str) -> UnsupportedArchitecture:
    return UnsupportedArchitecture(
        f"{model.name} ({model.hf.config.model_type}): {why}, so q, k, v and pattern cannot be patched; patch z"
    )


def _has(model: Model, path: str) -> bool:
    """Whether every block has a module there."""
    try:
        return all(isinstance(model.module(layer, path), nn.Module) for layer in range(model.layers))
    except AttributeError:
        return False


def _found(
    model: Model, site: str, paths: list[str], calls: dict[int, Call], outputs: dict[tuple[str, int], Tensor]
) -> Where | None:
    """The first place that fits, norms before projections."""
    heads = model.heads if site == "q" else model.key_heads
    own = {layer: (call.query if site == "q" else call.key).transpose(1, 2) for layer, call in calls.items()}
    wide = own[0].shape[2] * own[0].shape[3]
    before = wide if site == "q" else model.heads * own[0].shape[3]
    for name in (*AFTER_NORM[site], *PROJECTIONS[site], *TOGETHER):
        path = next((one for one in paths if one.rpartition(".")[2] == name), None)
        if path is None or (path, 0) not in outputs or not isinstance(outputs[path, 0], Tensor):
            continue
        output = outputs[path, 0]
        first = output.ndim == 4 and output.shape[1] == heads
        start = before if name in TOGETHER and site == "k" else 0
        where = Where(path, start, start + wide, first)
        if all(_fits(model, where, layer, own[layer], outputs.get((path, layer))) for layer in own):
            return where
    return None


def _fits(model: Model, where: Where, layer: int, own: Tensor, output: Tensor | None) -> bool:
    """Whether a module's output is what the kernel was called with, but for its rotation.

    Args:
        own: the kernel's, `[batch, tokens, heads, width]`.
    """
    if not isinstance(output, Tensor) or output.ndim not in (3, 4) or output.shape[0] != own.shape[0]:
        return False
    flat = own.flatten(2)
    state = where.taken(output)
    if state.shape != flat.shape:
        return False
    if not _alike(state[:, 0], flat[:, 0], model):
        return False
    # The first block reads equal tokens equally wherever they stand, unless a table of positions is added to them.
    placed = model.reach is not None and _alike(state, flat, model)
    return layer > 0 or placed or _alike(state[:, 2], state[:, 0], model)


def _alike(one: Tensor, other: Tensor, model: Model) -> bool:
    apart = float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))
    return apart <= max(TOLERANCE[model.dtype], 1e-6)
