"""The kernel of `ragged`, in Triton. It comes with torch on a GPU, and this module is imported only where it is there.

A program computes the queries of one tile, for some heads that read the same keys. It walks over the rows
of keys and values that these queries may see, first the shared prefix, then the chains' own tokens, and keeps the
running largest score, sum and weighted values of a softmax (Milakov and Gimelshein 2018; Dao et al. 2022).
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED: bool = triton.knobs.runtime.interpret
"""Whether kernels run on the CPU, as numpy (TRITON_INTERPRET=1); decided when they are defined."""


@triton.jit
def _dot(a, b, PRECISION: tl.constexpr, WIDE: tl.constexpr):
    if WIDE:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def _tanh(x):
    """Without the cancellation of `1 - exp(-2x)` where x is small."""
    e = tl.exp(-2 * tl.abs(x))
    large = (1 - e) / (1 + e)
    y = x * x
    small = x * (1 + y * (-1 / 3 + y * (2 / 15 - y * (17 / 315))))
    return tl.where(tl.abs(x) < 0.1, small, tl.where(x < 0, -large, large))


@triton.jit
def _step(
    query, row, sees, state, key, value, key_row, value_row, d, v, scale, cap,
    WIDTH: tl.constexpr, VALUE: tl.constexpr, CAPPED: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Read one block of keys and values; `row` are their rows in the tables, `sees` which query sees which."""
    largest, total, sums = state
    there = row >= 0
    at = tl.where(there, row, 0).to(tl.int64)[:, None]
    k = tl.load(key + at * key_row + d[None, :], mask=there[:, None] & (d[None, :] < WIDTH), other=0.0)
    scores = _dot(query, tl.trans(k), PRECISION, WIDE) * scale
    if CAPPED:
        scores = cap * _tanh(scores / cap)
    scores = tl.where(sees, scores, float("-inf"))
    now = tl.maximum(largest, tl.max(scores, 1))
    shift = tl.where(now == float("-inf"), 0.0, now)
    weights = tl.exp(scores - shift[:, None])
    before = tl.exp(largest - shift)
    x = tl.load(value + at * value_row + v[None, :], mask=there[:, None] & (v[None, :] < VALUE), other=0.0)
    sums = sums * before[:, None] + _dot(weights.to(x.dtype), x, PRECISION, WIDE)
    return now, total * before + tl.sum(weights, 1), sums


@triton.jit
def attention(
    query, key, value, out, sinks, keys, queries, rows, tiles,
    query_row, query_head, key_row, key_head, value_row, value_head, out_row, out_head,
    scale, cap, window,
    REPEAT: tl.constexpr, PACK: tl.constexpr, WIDTH: tl.constexpr, VALUE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
    CAPPED: tl.constexpr, WINDOWED: tl.constexpr, SINKS: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Grid (tiles, heads / `PACK`). `REPEAT` heads read one key head.

    `window` is the number of tokens that a query sees, itself included; `tiles` are as in `ragged.Tiles`.
    With `WIDE` products are of float32: the interpreter takes bfloat16 for whole numbers.
    """
    tile, heads = tiles + tl.program_id(0) * 9, tl.program_id(1) * PACK
    begin, count = tl.load(tile), tl.load(tile + 1).to(tl.int32)
    each, base = tl.load(tile + 2).to(tl.int32), tl.load(tile + 3).to(tl.int32)
    prefix, before = tl.load(tile + 4), tl.load(tile + 5).to(tl.int32)
    own, stride, after = tl.load(tile + 6), tl.load(tile + 7).to(tl.int32), tl.load(tile + 8).to(tl.int32)

    r, n = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    d, v = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_V)
    i, head = r // PACK, heads + r % PACK
    asked = i < count
    chain, position = i // each, base + i % each
    at = tl.load(queries + begin + i, mask=asked, other=0).to(tl.int64)
    q = tl.load(
        query + (at * query_row + head * query_head)[:, None] + d[None, :],
        mask=asked[:, None] & (d[None, :] < WIDTH),
        other=0.0,
    )
    key += heads // REPEAT * key_head
    value += heads // REPEAT * value_head
    if SINKS:
        largest = tl.load(sinks + head, mask=asked, other=0.0).to(tl.float32)
        total = tl.full([BLOCK_M], 1.0, tl.float32)
    else:
        largest = tl.full([BLOCK_M], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_M], tl.float32)
    sums = tl.zeros([BLOCK_M, BLOCK_V], tl.float32)

    first = 0
    if WINDOWED:
        first = tl.maximum(base - window + 1, 0)
    for start in range(first, before, BLOCK_N):
        j = start + n
        row = tl.load(keys + prefix + j, mask=j < before, other=-1)
        sees = asked[:, None] & (j < before)[None, :]
        if WINDOWED:
            sees &= j[None, :] > position[:, None] - window
        largest, total, sums = _step(
            q, row, sees, (largest, total, sums), key, value, key_row, value_row, d, v, scale, cap,
            WIDTH, VALUE, CAPPED, PRECISION, WIDE,
        )  # fmt: skip
    first = 0
    if WINDOWED:  # where they are one chain's, the tokens too far behind are not read
        first = tl.where(after <= stride, tl.maximum(base - window + 1 - before, 0), 0)
    for start in range(first, after, BLOCK_N):
        j = start + n
        row = tl.load(keys + own + j, mask=j < after, other=-1)
        place = before + j % stride
        sees = asked[:, None] & (j < after)[None, :] & ((j // stride)[None, :] == chain[:, None])
        sees &= place[None, :] <= position[:, None]
        if WINDOWED:
            sees &= place[None, :] > position[:, None] - window
        largest, total, sums = _step(
            q, row, sees, (largest, total, sums), key, value, key_row, value_row, d, v, scale, cap,
            WIDTH, VALUE, CAPPED, PRECISION, WIDE,
        )  # fmt: skip

    to = tl.load(rows + begin + i, mask=asked, other=0).to(tl.int64)
    tl.store(
        out + (to * out_row + head * out_head)[:, None] + v[None, :],
        (sums / tl.where(asked, total, 1.0)[:, None]).to(out.dtype.element_ty),
        mask=asked[:, None] & (v[None, :] < VALUE),
    )
