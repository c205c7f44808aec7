"""Seams: how a Hugging Face model's own modules are called on packed states instead of on whole prompts.

Nothing of an architecture is written again here: a block runs its own norms, projections, rotary embedding and MLP.
Only attention is taken out of it, at the interface through which transformers calls attention kernels. The model is
always left as it was: every switch is a context manager, and `forward` is replaced on instances only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ivx.engine.forward.device import CPU, Way
from ivx.engine.forward.fused import prove, short_forms
from ivx.engine.forward.graphs import Own
from ivx.engine.forward.ragged import missing, tile_of
from ivx.engine.forward.regions import Regions, at
from ivx.models.model import Model

NAME = "ivx_projections"
BEFORE, AFTER = "before attention", "after attention"
"""The two regions of a block."""


class Projections(NamedTuple):
    """What attention is called with for `m` tokens: `[m, heads, width]` each, keys and values with their own heads."""

    query: Tensor
    key: Tensor
    value: Tensor
    options: dict[str, Any]


class Reached(Exception):
    """Ends a forward pass once the wanted states are computed; carries them."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


def _interface(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
    """Takes the place of an attention kernel, and ends the pass there."""
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    raise Reached(Projections(q, k, v, options))


ALL_ATTENTION_FUNCTIONS.register(NAME, _interface)


@contextmanager
def replaced(modules: Sequence[nn.Module], replacements: Sequence[Callable]) -> Iterator[None]:
    """Replace `forward` on these instances."""
    with ExitStack() as stack:
        for module, forward in zip(modules, replacements, strict=True):
            before = module.__dict__.get("forward")
            module.__dict__["forward"] = forward
            stack.callback(_restore, module, before)
        yield


def _restore(module: nn.Module, before: Any) -> None:
    if before is None:
        module.__dict__.pop("forward", None)
    else:
        module.__dict__["forward"] = before


class Added(NamedTuple):
    """States to overwrite, and to record, where attention or the MLP adds to the stream in one call of a block.

    `put` holds (token rows, values `[rows, width]`); `see`, the token rows whose value is wanted.
    """

    put: tuple[Tensor, Tensor] | None = None
    see: Tensor | slice | None = None


NOTHING = Added()
ALL = Added(see=slice(None))

_known: WeakKeyDictionary[nn.Module, tuple[bool, list[tuple[nn.Module, int]]]] = WeakKeyDictionary()
"""What is found once for a model in memory: whether its blocks return tuples, and which modules have short forms."""


class Seams:
    """One model's seams for prompts of up to `longest` tokens."""

    def __init__(self, model: Model, *, longest: int, way: Way = CPU) -> None:
        self.model, self.way = model, way
        self.scale = model.anatomy.scale_of(model.hf.config)
        # Any token but the padding, of which transformers would warn.
        self.filler = 1 if model.hf.config.pad_token_id == 0 else 0
        parent = model.anatomy.projection.rpartition(".")[0]
        self.attention = [model.module(i, parent) for i in range(model.layers)]
        self.projection = [model.module(i, model.anatomy.projection) for i in range(model.layers)]
        self.softmax = [softmax_dtype(module, model) for module in self.attention]
        if model.hf not in _known:
            _known[model.hf] = (self._answers_in_tuples(), _proved(model))
        self.tuples, proved = _known[model.hf]
        self.short = [] if way.compiled else short_forms(proved)
        self.arguments = self._arguments(longest)
        self.own: dict[str, Callable[[int], Own]] = {BEFORE: self._projecting, AFTER: self._ending}
        self.regions = Regions(model.blocks, self.own, hold=model.hold) if way.compiled else None
        self.options: dict[int, dict[str, Any]] = {}
        self.padded = missing(model.device, model.dtype) if way.together else None
        self.tile = tile_of(model.dtype, model.heads, model.key_heads)

    @property
    def kernels(self) -> str | None:
        """What became of kernels made for a GPU in this sweep, a sentence without its full stop; None without any."""
        told = [] if self.regions is None or self.regions.report is None else [self.regions.report]
        if self.padded is not None:
            told.append(f"attention is padded: {self.padded.why}")
        return "; ".join(told) or None

    def _answers_in_tuples(self) -> bool:
        found: list[bool] = []
        hook = self.model.blocks[0].register_forward_hook(lambda m, a, output: found.append(isinstance(output, tuple)))
        try:
            self.model.hf(input_ids=self._ids([[self.filler]]), use_cache=False, logits_to_keep=1)
        finally:
            hook.remove()
        return found[0]

    def fillers(self, rows: int) -> Tensor:
        """Token ids of `rows` prompts of one token that means nothing."""
        return torch.full((rows, 1), self.filler, device=self.model.device)

    def _ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(prompts, device=self.model.device)

    def _answer(self, state: Tensor) -> Any:
        return (state,) if self.tuples else state

    def _arguments(self, longest: int) -> list[dict[str, Any]]:
        """The arguments of every block but the states, for one prompt of `longest` tokens; no block is computed."""
        seen: list[dict[str, Any]] = []

        names = list(inspect.signature(self.model.blocks[0].forward).parameters)[1:]

        def through(hidden_states: Tensor, *rest: Any, **named: Any) -> Any:
            seen.append({**dict(zip(names, rest, strict=False)), **named})
            return self._answer(hidden_states)

        with replaced(self.model.blocks, [through] * self.model.layers):
            self.model.hf(input_ids=self._ids([[self.filler] * longest]), use_cache=False, logits_to_keep=1)
        return [{k: None if k in _WITHOUT else v for k, v in named.items()} for named in seen]

    def embeddings(self, ids: Tensor) -> Tensor:
        """The first block's input for prompts of one length, from their ids: `[prompts, tokens, width]`."""

        def stop(hidden_states: Tensor, *_: Any, **__: Any) -> None:
            raise Reached(hidden_states)

        with replaced(self.model.blocks[:1], [stop]):
            return reached(lambda: self.model.hf(input_ids=ids, use_cache=False, logits_to_keep=1))

    @contextmanager
    def shortened(self) -> Iterator[None]:
        """Norms and MLPs run in their short forms inside this context."""
        with replaced([module for module, _ in self.short], [form for _, form in self.short]):
            yield

    @contextmanager
    def switched(self) -> Iterator[None]:
        """A pass ends where attention calls its kernel, inside this context."""
        config = self.model.hf.config
        before = config._attn_implementation
        config._attn_implementation = NAME
        try:
            yield
        finally:
            config._attn_implementation = before

    def project(self, layer: int, states: Tensor, positions: Tensor) -> Projections:
        """Queries, keys and values of `states` `[m, width]` at these positions. Inside `switched`."""
        given = [at(x, positions) for x in tree_leaves(self.arguments[layer]) if isinstance(x, Tensor)]
        own = self._projecting(layer)
        found = None if self.regions is None else self.regions(BEFORE, layer, states[None], *given)
        if found is None:
            return own(states[None], *given)
        options = self.options.get(layer)
        if options is None:
            first = positions.new_zeros(1)
            options = own(states[None, :1], *(at(x, first) for x in given)).options
            if not any(isinstance(x, Tensor) for x in options.values()):
                self.options[layer] = options
        query, key, value = found
        return Projections(query, key, value, options)

    def _projecting(self, layer: int) -> Callable[..., Projections]:
        """The layer's code before attention, as a function of states `[1, m, width]` and of its tensor arguments."""
        leaves, shape = tree_flatten(self.arguments[layer])

        def run(states: Tensor, *tensors: Tensor) -> Projections:
            given = iter(tensors)
            named = tree_unflatten([next(given) if isinstance(x, Tensor) else x for x in leaves], shape)
            return reached(lambda: self.model.blocks[layer](states, **named))

        return run

    def block(
        self, layer: int, states: Tensor, z: Tensor, *, attention: Added = NOTHING, mlp: Added = NOTHING
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """A block's output for residual inputs `[m, width]` and heads' outputs `z` `[m, heads × head width]`.

        Returns the output and, where asked for, what attention and MLP added to the stream at the seen tokens.
        """
        if self.regions is not None and attention.put is None and mlp.put is None:
            found = self.regions(AFTER, layer, states[None], z[None])
            if found is not None:
                output, *added = found
                seen = (None if how.see is None else x[how.see] for x, how in zip(added, (attention, mlp), strict=True))
                return output, *seen  # type: ignore[return-value]
        return self._block(layer, states, z, attention, mlp)

    def _ending(self, layer: int) -> Own:
        """The layer's code after attention, as a function of states and heads' outputs `[1, m, …]`."""
        return lambda states, z: self._block(layer, states[0], z[0], ALL, ALL)

    def _block(
        self, layer: int, states: Tensor, z: Tensor, attention: Added, mlp: Added
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        seen: dict[str, Tensor] = {}

        def attend(*_: Any, **__: Any) -> tuple[Tensor, None]:
            return self.projection[layer](z)[None], None

        facts = self.model.anatomy
        with replaced([self.attention[layer]], [attend]), ExitStack() as stack:
            for name, path, added in (("attn", facts.attn_added, attention), ("mlp", facts.mlp_added, mlp)):
                if added is not NOTHING:
                    hook = self.model.module(layer, path).register_forward_hook(self._adding(name, added, seen))
                    stack.callback(hook.remove)
            output = self.model.blocks[layer](states[None], **self.arguments[layer])
        return (output[0] if self.tuples else output)[0], seen.get("attn"), seen.get("mlp")

    def _adding(self, name: str, added: Added, seen: dict[str, Tensor]) -> Callable:
        def hook(module: nn.Module, args: tuple, output: Any) -> Any:
            state = output if isinstance(output, Tensor) else output[0]
            flat = state.view(-1, state.shape[-1])
            if added.see is not None:
                seen[name] = flat[added.see] if self.scale == 1 else flat[added.see] * self.scale
            if added.put is not None:
                rows, values = added.put
                flat = flat.clone()
                flat[rows] = values.to(flat) / self.scale
                state = flat.view_as(state)
            return state if isinstance(output, Tensor) else (state, *output[1:])

        return hook

    def logits(self, states: Tensor) -> Tensor:
        """Logits `[m, vocabulary]` of `states` `[m, width]`, by the model's own code for its final norm and head."""
        m = len(states)

        def through(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
            return self._answer(hidden_states)

        def last(*_: Any, **__: Any) -> Any:
            return self._answer(states[:, None])

        # One token a row: so no table of positions is too short for the many states of a chunk.
        with replaced(self.model.blocks, [through] * (self.model.layers - 1) + [last]):
            return self.model.hf(input_ids=self.fillers(m), use_cache=False, logits_to_keep=1).logits[:, -1]


def _proved(model: Model) -> list[tuple[nn.Module, int]]:
    found = []
    for layer, block in enumerate(model.blocks):
        model.hold(layer)
        found += prove([block])
    return found


def softmax_dtype(module: nn.Module, model: Model) -> torch.dtype | None:
    """float32 where the checkpoint's own attention rounds its softmax to it whatever the states' dtype; else None.

    transformers' eager attention does in most architectures. It matters in float64 alone, where ivx must equal it.
    """
    eager = getattr(inspect.getmodule(type(module)), "eager_attention_forward", None)
    if model.hf.config._attn_implementation != "eager" or eager is None:
        return None
    return torch.float32 if "torch.float32" in inspect.getsource(eager) else None


_WITHOUT = ("attention_mask", "past_key_values", "past_key_value", "layer_past", "use_cache")
"""Arguments of blocks that are None for packed states: attention itself masks, and there is no cache."""


def reached(run: Callable[[], Any]) -> Any:
    """What a pass was ended for, by raising `Reached`."""
    try:
        run()
    except Reached as end:
        return end.found
    raise TypeError("this architecture does not call attention through transformers' interface")
