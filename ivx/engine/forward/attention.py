"""Attention over chains: token sequences at the same positions, behind one prefix.

A chain's queries see a prefix, whose keys and values are read once for all chains behind it, and the chain's own
tokens. Both score blocks meet in one softmax, so the result is ordinary causal attention. `attend_together` does all
chains of a layer as one padded and masked product instead, where starting a kernel costs more than padding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

KNOWN = frozenset(
    {
        *("dropout", "scaling", "sliding_window", "softcap", "s_aux"),
        *("is_causal", "position_ids", "use_cache", "output_router_logits"),
    }
)
"""Options of attention calls that are understood here; all from `is_causal` on, and `dropout`, change nothing."""


def attend(
    query: Tensor,
    prefix: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    *,
    module: nn.Module,
    options: dict[str, Any],
    softmax: torch.dtype | None = None,
) -> Tensor:
    """Causal attention of chains that stand at the same positions.

    Args:
        query: `[chains, n, heads, width]`, the last n tokens of each chain.
        prefix: keys and values `[p, key heads, width]` at positions 0 to p.
        own: keys and values `[chains, m, key heads, width]` at positions p to p + m.
        module, options: the attention module, and what it passed to its interface.
        softmax: dtype of the softmax; by default the states', float32 for half precision.

    Returns:
        `[chains, n, heads × value width]`.
    """
    chains, n, heads, _ = query.shape
    (p, key_heads, _), m = prefix[0].shape, own[0].shape[1]
    repeat = heads // key_heads
    scale = options.get("scaling")
    # [key heads, chains, repeat, n, width]: one product of all chains with the prefix, one of each chain with itself.
    q = query.view(chains, n, key_heads, repeat, -1).permute(2, 0, 3, 1, 4)
    q = q * (query.shape[-1] ** -0.5 if scale is None else scale)
    flat = q.reshape(key_heads, chains * repeat * n, -1)
    by_chain = q.reshape(key_heads, chains, repeat * n, -1)
    scores = torch.matmul(by_chain, own[0].permute(2, 0, 3, 1)).view(key_heads, chains, repeat, n, m)
    if p:
        before = torch.matmul(flat, prefix[0].permute(1, 2, 0)).view(key_heads, chains, repeat, n, p)
        scores = torch.cat([before, scores], dim=-1)
    hidden = _hidden(p + m, n, window_of(module, options), query.device)
    weights = _weights(scores, hidden, options, softmax).to(query.dtype)
    after = weights[..., p:].reshape(key_heads, chains, repeat * n, m)
    z = torch.matmul(after, own[1].permute(2, 0, 1, 3)).view(key_heads, chains, repeat, n, -1)
    if p:
        first = weights[..., :p].reshape(key_heads, chains * repeat * n, p)
        z = z + torch.matmul(first, prefix[1].permute(1, 0, 2)).view_as(z)
    return z.permute(1, 3, 0, 2, 4).reshape(chains, n, -1)


def attend_together(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    positions: Tensor,
    *,
    module: nn.Module,
    options: dict[str, Any],
    softmax: torch.dtype | None = None,
) -> Tensor:
    """Causal attention of chains of any lengths, padded to the longest.

    Args:
        query: `[chains, n, heads, width]`, at `positions` `[chains, n]`; those of padding are 0.
        key, value: `[chains, m, key heads, width]` at positions 0 to m; those past a chain's end are masked.
        module, options, softmax: as in `attend`.

    Returns:
        `[chains, n, heads × value width]`; padding's rows mean nothing.
    """
    heads, key_heads, scale = query.shape[2], key.shape[2], options.get("scaling")
    at, seen = positions[..., None], torch.arange(key.shape[1], device=key.device)
    window = window_of(module, options)
    hidden = seen > at if window is None else (seen > at) | (seen <= at - window)
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if not options.get("softcap") and options.get("s_aux") is None and softmax in (None, query.dtype):
        z = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=~hidden[:, None], scale=scale, enable_gqa=heads != key_heads
        )
        return z.transpose(1, 2).flatten(2)
    q = q * (query.shape[-1] ** -0.5 if scale is None else scale)
    q = q.unflatten(1, (key_heads, -1)).transpose(0, 1)
    scores = torch.matmul(q, k.transpose(0, 1)[:, :, None].transpose(-1, -2))
    weights = _weights(scores, hidden[:, None], options, softmax).to(query.dtype)
    z = torch.matmul(weights, v.transpose(0, 1)[:, :, None])
    return z.permute(1, 3, 0, 2, 4).flatten(2)


def probabilities(
    query: Tensor, key: Tensor, *, module: nn.Module, options: dict[str, Any], softmax: torch.dtype | None = None
) -> Tensor:
    """Causal attention of whole prompts: how much each query token takes from each key token.

    Args:
        query, key: `[prompts, heads, tokens, width]`, keys with their own heads.
        module, options, softmax: as in `attend`.

    Returns:
        `[prompts, heads, tokens, tokens]`, queries first; rows sum to 1, or to less beside a sink.
    """
    n, key_heads, scale = query.shape[2], key.shape[1], options.get("scaling")
    q = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    q = q.unflatten(1, (key_heads, -1)).transpose(0, 1)
    scores = torch.matmul(q, key.transpose(0, 1)[:, :, None].transpose(-1, -2))
    weights = _weights(scores, _hidden(n, n, window_of(module, options), query.device), options, softmax)
    return weights.to(query.dtype).transpose(0, 1).flatten(1, 2)


def window_of(module: nn.Module, options: dict[str, Any]) -> int | None:
    """The sliding window: tokens that a query sees, itself included; None for all of them.

    What the module passed counts, None too: a layer that sees everything may still know the others' window. Only an
    architecture that passes nothing keeps it on the module alone.
    """
    return options["sliding_window"] if "sliding_window" in options else getattr(module, "sliding_window", None)


def _hidden(keys: int, n: int, window: int | None, device: torch.device) -> Tensor | None:
    """Which keys the last `n` of `keys` tokens may not see: `[n, keys]`; None where every one sees all."""
    if n == 1 and (window is None or window >= keys):
        return None
    q = torch.arange(keys - n, keys, device=device)[:, None]
    k = torch.arange(keys, device=device)[None]
    hidden = k > q
    return hidden if window is None else hidden | (k <= q - window)


def _weights(scores: Tensor, hidden: Tensor | None, options: dict[str, Any], dtype: torch.dtype | None) -> Tensor:
    """Softmax of scores `[key heads, chains, repeat, n, keys]` over keys; sinks, `s_aux` `[heads]`, drop out after."""
    cap, sinks = options.get("softcap"), options.get("s_aux")
    if cap:
        scores = torch.tanh(scores / cap) * cap
    if hidden is not None:
        scores = scores.masked_fill_(hidden, -torch.inf)
    if dtype is None and scores.dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    if sinks is None:
        return scores.softmax(dim=-1, dtype=dtype)
    key_heads, chains, repeat, n, _ = scores.shape
    column = sinks.to(scores).view(key_heads, 1, repeat, 1, 1).expand(key_heads, chains, repeat, n, 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1, dtype=dtype)[..., :-1]
