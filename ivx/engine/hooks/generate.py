"""Generation: greedy decoding while states of the prompt are patched, or moved by a vector.

Patches apply while the prompt is read; what they change stays in the key-value cache, which later tokens read. A `Push`
moves states by a vector, at some tokens of the prompt or at every token, generated ones too. Prompts of one length are
read together, so nothing is padded there; then all are continued together (`ivx.engine.hooks.begun`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import SITES, Patch, check, resolve
from ivx.engine.hooks.begun import Begun, together
from ivx.engine.hooks.run import captured, means_of, rows_within, writes_of
from ivx.engine.hooks.sites import Place, Visit, Writes, visited, write
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Places, Prompts, checked
from ivx.errors import IvxError
from ivx.models.finite import finite
from ivx.models.memory import free_bytes
from ivx.models.model import Model

WAYS = ("add", "patch")
MOST_TOKENS = 256


@dataclass(frozen=True, eq=False)
class Push:
    """A vector that steers the states of one place.

    Attributes:
        vector: `[width]`, or `[prompts, width]` where each prompt has its own.
        strength: α, or one for each prompt: a state h becomes h + αv (`add`) or h + α(v − h) (`patch`); with 0 nothing
            changes, and with 1 `patch` writes v itself.
        positions: tokens of the prompt, negative ones from its end; None is every token, generated ones too.
    """

    site: str
    layer: int
    vector: Tensor
    strength: float | Sequence[float] = 1.0
    positions: tuple[int, ...] | None = None
    way: str = "add"


@dataclass(frozen=True)
class Written:
    """What a model wrote after one prompt.

    `ids` leave out the end token; `probabilities` are theirs, each given all before it; `ended` says that the model
    ended by itself.
    """

    ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    ended: bool


def generate(
    model: Model,
    prompts: Prompts,
    *,
    tokens: int = 24,
    source: Prompts | None = None,
    patches: str = "",
    means: Mapping[str, Places] | None = None,
    pushes: Sequence[Push] = (),
    memory_gb: float | None = None,
    beat: Callable[[], None] = lambda: None,
) -> tuple[Written, ...]:
    """Continue every prompt by greedy decoding, until the end token or for `tokens` tokens.

    Args:
        prompts: token ids, ragged is fine.
        source: token ids per prompt, that patches take states from (default: the prompts themselves).
        patches: an address or a set of them (`ivx.engine.address`); empty patches nothing.
        means: the states that `=mean` averages, as in a sweep.
        pushes: applied after the patches, in their order.
        memory_gb: bound on the working set beside the weights (default: half of what is free).
        beat: called before each token of a batch; what it raises ends the work and leaves the model clean.

    Raises:
        AddressError: a place that this model or prompt does not have. IvxError: an empty prompt, one that leaves no
            room for the tokens, a vector of another width.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise IvxError(f"tokens is {tokens}: choose 1 to {MOST_TOKENS}")
    asked = checked(
        model,
        source=prompts if source is None else source,
        target=prompts,
        answer=[0] * len(prompts),
        patches=[patches] if patches else [],
        contrast=None,
        reference=None,
        means=means,
    )
    _check_room(model, asked.target, tokens)
    moved = [_checked(model, push, asked.target) for push in pushes]
    # Beside the activations of a pass, each row keeps a cache of every layer's keys and values.
    budget = (memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9) / (1 + model.layers / 8)
    patch_set = asked.patches.get(patches, ())
    found: dict[int, Written] = {}
    with only_user(model), torch.inference_mode():
        states, averages = captured(model, asked, [patch_set]), means_of(model, asked)
        order = sorted(range(len(asked.target)), key=lambda i: len(asked.target[i]))
        step = rows_within(model, max(map(len, asked.target)) + tokens, budget)
        for some in (order[i : i + step] for i in range(0, len(order), step)):
            beat()
            begun = []
            for length, group in groupby(some, key=lambda i: len(asked.target[i])):
                part = list(group)
                writes = writes_of(model, asked, [(i, patch_set) for i in part], states, averages)
                ids = torch.tensor([asked.target[i] for i in part], device=model.device)
                begun.append(_begun(model, part, ids, writes, [_visits(push, part, length) for push in moved]))
            for one in together(begun):
                lasting = [_visits(push, one.rows, 0) for push in moved if push.positions is None]
                found.update(zip(one.rows, _continued(model, one, tokens, lasting, beat), strict=True))
    return tuple(found[i] for i in range(len(asked.target)))


def ends(model: Model) -> frozenset[int]:
    """The model's end-of-sequence token ids."""
    found: set[int] = set()
    for config in (model.hf.generation_config, model.hf.config, model.tokenizer):
        named = getattr(config, "eos_token_id", None)
        found |= set(named) if isinstance(named, list | tuple) else set() if named is None else {named}
    return frozenset(found)


def _check_room(model: Model, prompts: Prompts, tokens: int) -> None:
    room = getattr(model.hf.config, "max_position_embeddings", None)
    longest = max(len(ids) for ids in prompts)
    if room is not None and longest + tokens > room:
        raise IvxError(
            f"a prompt of {longest} tokens and {tokens} written ones are more than the {room} that {model.name} has "
            "positions for: shorten the prompt, or ask for fewer tokens"
        )


def _checked(model: Model, push: Push, prompts: Prompts) -> Push:
    """A push with a vector and a strength for every prompt, and positions that every prompt has."""
    if push.site not in SITES:
        raise IvxError(f"there is no site {push.site!r}; the sites are {', '.join(SITES)}")
    address = Patch(push.site, push.layer, None)
    check(address, layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
    if push.way not in WAYS:
        raise IvxError(f"a vector is put there by {' or '.join(WAYS)}, not {push.way!r}")
    width = model.heads * model.head_dim if push.site == "z" else model.width
    if push.vector.shape not in ((width,), (len(prompts), width)):
        raise IvxError(
            f"{push.site}.{push.layer} has states of width {width}; the vector's shape is {list(push.vector.shape)}"
        )
    for k, ids in enumerate(prompts):
        for position in push.positions or ():
            resolve(position, length=len(ids), patch=address, run="prompt", sample=k)
    strength = torch.as_tensor(push.strength, dtype=torch.float64)
    if strength.shape not in ((), (len(prompts),)):
        raise IvxError(f"{len(strength)} strengths for {len(prompts)} prompts: give one for all, or one for each")
    strength = strength.expand(len(prompts))
    vector = push.vector.expand(len(prompts), width).to(model.device, model.dtype)
    return Push(push.site, push.layer, vector, strength.tolist(), push.positions, push.way)


def _begun(
    model: Model, rows: Sequence[int], ids: Tensor, writes: dict[Place, Writes], visits: Sequence[dict[Place, Visit]]
) -> Begun:
    """Read prompts of one length `[rows, tokens]`, patched and then pushed."""
    with ExitStack() as hooks:
        hooks.enter_context(write(model, writes))
        # A push sees what the patches, and the pushes before it, have left.
        for some in visits:
            hooks.enter_context(visited(model, some))
        output = model.hf(input_ids=ids, use_cache=True, logits_to_keep=1)
    return Begun(tuple(rows), (ids.shape[1],) * len(rows), output.logits[:, -1], output.past_key_values)


def _continued(
    model: Model, begun: Begun, tokens: int, lasting: Sequence[dict[Place, Visit]], beat: Callable[[], None]
) -> list[Written]:
    """Decode after prompts that were read; `lasting` visits the states of generated tokens."""
    stop = ends(model)
    new: list[list[tuple[int, float]]] = [[] for _ in begun.rows]
    ended = [False] * len(begun.rows)
    logits = begun.logits
    for step in range(1, tokens + 1):
        beat()
        finite(logits.logsumexp(dim=1), model, what="logits")
        shares, best = readout.log_probabilities(logits).max(dim=1)
        for row, (token, share) in enumerate(zip(best.tolist(), shares.exp().tolist(), strict=True)):
            ended[row] = ended[row] or token in stop
            if not ended[row]:
                new[row].append((token, share))
        if all(ended) or step == tokens:
            break
        with ExitStack() as hooks:
            for some in lasting:
                hooks.enter_context(visited(model, some))
            logits = begun.next_logits(model, best[:, None], step)
    return [
        Written(tuple(token for token, _ in row), tuple(share for _, share in row), over)
        for row, over in zip(new, ended, strict=True)
    ]


def _visits(push: Push, part: Sequence[int], length: int) -> dict[Place, Visit]:
    vector = push.vector[list(part)][:, None]
    strengths: Any = push.strength
    alpha = torch.tensor([strengths[i] for i in part], dtype=vector.dtype, device=vector.device)[:, None, None]
    at = slice(None) if push.positions is None else [position % length for position in dict.fromkeys(push.positions)]

    def visit(state: Tensor) -> Tensor:
        state = state.clone(memory_format=torch.contiguous_format)
        before = state[:, at]
        state[:, at] = before + alpha * vector if push.way == "add" else before.lerp(vector, alpha)
        return state

    return {(push.site, push.layer): visit}
