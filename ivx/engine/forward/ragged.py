"""Ragged attention: all chains of a layer in one kernel, without padding and without copies of keys and values.

The kernel (`triton_attention`) reads queries, keys and values where the projections put them, through tables of rows,
and writes into the rows of `z`. A tile is a few queries of one chain, or of several that share a prefix, which is read
once for all of them. FlexAttention would have keys and values gathered for every chain, and a mask built for every
layer.

A kernel is used once it has given what `attend` gives for random states of its kind. Where it does not, and where
there is no Triton or no GPU, the padded product of `attend_together` stays.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ivx.engine.forward.attention import attend, window_of
from ivx.engine.forward.graphs import AGREE, Failure, first_line, keep, within

Ints = npt.NDArray[np.int64]
Shared = tuple[Ints, Ints, Ints, Ints]
"""Chains behind one prefix, as rows of the projections' tables: prefix `[p]`, own `[chains, m]`, queries `[chains, n]`,
the last n of them, and where the outputs go, `[chains, n]`."""

TOGETHER = 512
"""Own tokens of the chains of one tile, at most: each of its queries walks past all of them."""
WIDEST = 256
"""Widest heads: beyond it, a block of keys and values no longer fits the memory of a GPU's processor."""


class Tiles(NamedTuple):
    """What the kernel reads: rows of `keys`, `queries` and `out`, side by side for all chains, and `tiles` `[t, 9]`.

    A tile's columns: where its queries begin and how many they are, how many in a row are one chain's, the position of
    the first; where its prefix begins among `keys`, and its length; where the chains' own tokens begin, how many a
    chain has, and how many are read.
    """

    keys: Ints
    queries: Ints
    out: Ints
    tiles: Ints


class Blocks(NamedTuple):
    """Sizes of the kernel's blocks.

    A tile's queries, for `heads` that read the same keys, are its `rows`; `keys` are read at once, `width` and `value`
    wide.
    """

    heads: int
    rows: int
    keys: int
    width: int
    value: int


def tile_of(dtype: torch.dtype, heads: int, key_heads: int) -> int:
    """How many queries make a full tile, of a model with so many heads."""
    rows = _rows(dtype)
    return rows // _divisor(heads // key_heads, rows)


def blocks(query: Tensor, key: Tensor, value: Tensor, tile: int) -> Blocks:
    """The sizes for `tile` queries `[…, heads, width]`, and keys and values `[…, key heads, width]`."""
    most = _rows(query.dtype)
    heads = _divisor(query.shape[1] // key.shape[1], max(1, most // tile))
    width, wide = (max(16, _power_of_2(x.shape[-1])) for x in (key, value))
    return Blocks(heads, max(16, _power_of_2(tile * heads)), most // 2 if max(width, wide) > 128 else most, width, wide)


def _rows(dtype: torch.dtype) -> int:
    """Rows of a tile: as many as a processor's registers hold the outputs of."""
    return 64 if dtype.itemsize == 2 else 32


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is not beyond `most`."""
    return max(k for k in range(1, min(n, most) + 1) if n % k == 0)


def _power_of_2(n: int) -> int:
    """The least one that is not below n."""
    return 1 << (n - 1).bit_length()


def tiled(chains: Sequence[Shared], tile: int) -> Tiles:
    """The tables for all chains, with at most `tile` queries a tile."""
    keys, queries, out, tiles = [], [], [], []
    first_key = first_query = 0
    for prefix, own, asked, to in chains:
        p, (c, m), n = len(prefix), own.shape, asked.shape[1]
        together = max(1, min(tile // n, TOGETHER // m))
        part: list[Any]
        if together > 1:
            start = np.arange(0, c, together)
            count = np.minimum(together, c - start)
            part = [start * n, count * n, n, p + m - n, start * m, m, count * m]
        else:
            chain, step = (x.ravel() for x in np.meshgrid(np.arange(c), np.arange(0, n, tile), indexing="ij"))
            count = np.minimum(tile, n - step)
            part = [chain * n + step, count, count, p + m - n + step, chain * m, m, m - n + step + count]
        begin, count, each, base, at, stride, after = np.broadcast_arrays(*part)
        here = [begin + first_query, count, each, base, np.full_like(begin, first_key), np.full_like(begin, p)]
        tiles.append(np.stack([*here, at + first_key + p, stride, after], axis=1))
        keys += [prefix, own.ravel()]
        queries.append(asked.ravel())
        out.append(to.ravel())
        first_key += p + own.size
        first_query += asked.size
    return Tiles(*(np.concatenate(x, dtype=np.int64) for x in (keys, queries, out, tiles)))


def attend_ragged(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    z: Tensor,
    tables: Sequence[Tensor],
    *,
    tile: int,
    module: nn.Module,
    options: dict[str, Any],
) -> None:
    """Causal attention of chains of any lengths, written into their rows of `z` `[…, heads × value width]`.

    Args:
        query: `[tokens, heads, width]`; key, value: `[tokens, key heads, width]`.
        tables: `Tiles` on their device, of at most `tile` queries.
        module, options: as in `attend`.
    """
    from ivx.engine.forward.triton_attention import INTERPRETED, attention

    keys, queries, out, tiles = tables
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    (_, heads, width), (_, key_heads, value_width) = query.shape, value.shape
    size, window = blocks(query, key, value, tile), window_of(module, options)
    scale, cap, sinks = options.get("scaling"), options.get("softcap"), options.get("s_aux")
    exact = query.dtype != torch.float32 or torch.backends.cuda.matmul.fp32_precision != "tf32"
    with torch.cuda.device_of(query):  # where Triton starts it
        attention[len(tiles), heads // size.heads](
            *(query, key, value, z, query if sinks is None else sinks, keys, queries, out, tiles),
            *(query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1)),
            *(z.stride(0), value_width),
            *(width**-0.5 if scale is None else float(scale), float(cap or 0), window or 0),
            REPEAT=heads // key_heads,
            PACK=size.heads,
            WIDTH=width,
            VALUE=value_width,
            BLOCK_M=size.rows,
            BLOCK_N=size.keys,
            BLOCK_D=size.width,
            BLOCK_V=size.value,
            CAPPED=bool(cap),
            WINDOWED=window is not None,
            SINKS=sinks is not None,
            PRECISION="ieee" if exact else "tf32",
            WIDE=INTERPRETED,
        )


_proved: dict[tuple[Any, ...], Failure | None] = {}
"""What the proof said, by kind of attention."""


def missing(device: torch.device, dtype: torch.dtype) -> Failure | None:
    """Why there is no kernel for states of this kind; None where there is."""
    if dtype not in AGREE:
        return Failure(f"{str(dtype).removeprefix('torch.')} is left to torch")
    if importlib.util.find_spec("triton") is None:
        return Failure("there is no Triton")
    from ivx.engine.forward.triton_attention import INTERPRETED

    return None if device.type == "cuda" or INTERPRETED else Failure("there is no GPU")


def unfit(
    query: Tensor, key: Tensor, value: Tensor, *, tile: int, module: nn.Module, options: dict[str, Any]
) -> Failure | None:
    """Why the kernel cannot do attention of this kind; None where it can."""
    shapes = tuple(tuple(x.shape[1:]) for x in (query, key, value))
    plain = tuple(options.get(name) for name in ("scaling", "softcap"))
    kind = (query.device, query.dtype, tile, shapes, *plain, window_of(module, options), options.get("s_aux") is None)
    if kind not in _proved:
        _proved[kind] = _differs(query, key, value, tile, module, options)
    return _proved[kind]


def _differs(
    query: Tensor, key: Tensor, value: Tensor, tile: int, module: nn.Module, options: dict[str, Any]
) -> Failure | None:
    """Try the kernel on random states: three chains behind a prefix, and two longer ones by themselves."""
    if max(key.shape[-1], value.shape[-1]) > WIDEST:
        return Failure(f"heads are wider than {WIDEST}")
    keep()
    prefix, near, far = np.arange(20), 20 + np.arange(15).reshape(3, 5), 35 + np.arange(80).reshape(2, 40)
    chains = [(prefix, near, near[:, 2:], near[:, 2:]), (prefix[:0], far, far[:, -3:], far[:, -3:])]
    device = query.device
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (torch.randn(115, *x.shape[1:], generator=generator, device=device) for x in (query, key, value))
    q, k, v = (x.to(query.dtype) for x in (q, k, v))
    z = q.new_zeros(115, q.shape[1] * v.shape[2])
    tables = [torch.from_numpy(x).to(device) for x in tiled(chains, tile)]
    try:
        attend_ragged(q, k, v, z, tables, tile=tile, module=module, options=options)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler or a driver says, the padded product is there
        return Failure(first_line(error))
    for shared in chains:
        behind, alone, asked, to = (torch.from_numpy(x).to(device) for x in shared)
        pairs = [(k[rows].float(), v[rows].float()) for rows in (behind, alone)]
        expected = attend(q[asked].float(), *pairs, module=module, options=options)
        apart, largest = float((z[to] - expected).abs().max()), float(expected.abs().max())
        if not apart <= within(q) * largest:
            return Failure(f"the kernel differs from torch's attention by {apart / largest:.0e} of its size")
    return None
