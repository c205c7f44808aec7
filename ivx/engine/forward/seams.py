"""Seams: how a Hugging Face model's own modules are called on packed states instead of on whole prompts.

Nothing of an architecture is written again here: a block runs its own norms, projections, rotary embedding and MLP.
Only attention is taken out of it, at the interface through which transformers calls attention kernels. The model is
always left as it was: every switch is a context manager, and `forward` is replaced on instances only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ivx.engine.forward.device import CPU, Way
from ivx.engine.forward.fused import Forward, prove, short_forms
from ivx.engine.forward.kernels import compiled_forms, kept
from ivx.models.model import Model

NAME = "ivx_projections"


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
    see: Tensor | None = None


NOTHING = Added()

_known: WeakKeyDictionary[nn.Module, tuple[bool, list[tuple[nn.Module, int]]]] = WeakKeyDictionary()
"""What is found once for a model in memory: whether its blocks return tuples, and which modules have short forms."""
_compiled_once: WeakKeyDictionary[nn.Module, list[tuple[nn.Module, Forward]]] = WeakKeyDictionary()


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
        self.short = _compiled(model) if way.compiled else short_forms(proved)
        self.arguments = self._arguments(longest)

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
        """Norms and MLPs run in their short or compiled forms inside this context."""
        compiled = kept() if self.way.compiled else nullcontext()
        with compiled, replaced([module for module, _ in self.short], [form for _, form in self.short]):
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
        named = {k: _at(v, positions) for k, v in self.arguments[layer].items()}
        return reached(lambda: self.model.blocks[layer](states[None], **named))

    def block(
        self, layer: int, states: Tensor, z: Tensor, *, attention: Added = NOTHING, mlp: Added = NOTHING
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """A block's output for residual inputs `[m, width]` and heads' outputs `z` `[m, heads × head width]`.

        Returns the output and, where asked for, what attention and MLP added to the stream at the seen tokens.
        """
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
                seen[name] = flat[added.see] * self.scale
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


def _compiled(model: Model) -> list[tuple[nn.Module, Forward]]:
    if model.hf not in _compiled_once:
        _compiled_once[model.hf] = compiled_forms(model.blocks, width=model.width)
    return _compiled_once[model.hf]


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


def _at(value: Any, positions: Tensor) -> Any:
    """Select these positions from an argument made for one whole prompt."""
    if isinstance(value, tuple):
        return tuple(_at(part, positions) for part in value)
    if isinstance(value, Tensor) and value.ndim >= 2 and value.shape[0] == 1:
        return value.index_select(1, positions)
    if isinstance(value, Tensor) and value.ndim == 1:
        return value.index_select(0, positions)
    return value


def reached(run: Callable[[], Any]) -> Any:
    """What a pass was ended for, by raising `Reached`."""
    try:
        run()
    except Reached as end:
        return end.found
    raise TypeError("this architecture does not call attention through transformers' interface")
