"""Attention of ragged chains: the tiles hold every query once, and the kernel gives what a row at a time gives.

Without a GPU the kernel runs in Triton's interpreter, and is skipped where there is no Triton.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ivx
from ivx.engine.forward import ragged
from ivx.engine.forward.device import GPU
from ivx.engine.forward.ragged import TOGETHER, attend_ragged, missing, tile_of, tiled, unfit
from ivx.engine.forward.seams import Seams
from ivx.engine.plan import run
from tests.models.test_architectures import SOURCE, TARGET, patches
from tests.support.random_models import random_model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WITHIN = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 1e-3}
triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def chains(rng: np.random.Generator, *, groups: int, longest: int = 90) -> tuple[list[ragged.Shared], int]:
    """Random chains, their tokens anywhere in tables of so many rows."""
    shapes = []
    for _ in range(groups):
        m = int(rng.integers(1, longest))
        n = m if rng.random() < 0.5 else int(rng.integers(1, m + 1))
        shapes.append((int(rng.integers(0, longest)) * int(rng.random() < 0.7), int(rng.integers(1, 9)), m, n))
    shapes.append((40, 37, 2, 1))  # many chains in one tile
    size = sum(p + c * m for p, c, m, _ in shapes)
    rows, found, start = rng.permutation(size), [], 0
    for p, c, m, n in shapes:
        prefix, own = rows[start : start + p], rows[start + p : start + p + c * m].reshape(c, m)
        found.append((prefix, own, own[:, m - n :], own[:, m - n :]))
        start += p + c * m
    return found, size


def by_row(q: Tensor, k: Tensor, v: Tensor, seen: list[int], options: dict[str, Any]) -> Tensor:
    """Attention of one query `[heads, width]` to the keys that it sees, the last of them its own, in float64."""
    heads, key_heads, window = len(q), k.shape[1], options.get("sliding_window")
    seen = seen if window is None else seen[-window:]
    found = []
    for head in range(heads):
        keys, values = (x[seen, head * key_heads // heads].double() for x in (k, v))
        scores = keys @ q[head].double() * (options.get("scaling") or q.shape[1] ** -0.5)
        if options.get("softcap"):
            scores = torch.tanh(scores / options["softcap"]) * options["softcap"]
        if options.get("s_aux") is not None:
            scores = torch.cat([scores, options["s_aux"][head : head + 1].double()])
        found.append(scores.softmax(0)[: len(seen)] @ values)
    return torch.cat(found)


def test_tiles_hold_every_query_once_with_all_that_it_sees() -> None:
    rng = np.random.default_rng(0)
    for tile in (1, 2, 7, 9, 64):
        here, _ = chains(rng, groups=12)
        expected = {}
        for prefix, own, asked, out in here:
            for chain, queries, to in zip(own, asked, out, strict=True):
                for k, (query, row) in enumerate(zip(queries, to, strict=True)):
                    end = len(chain) - len(queries) + k + 1
                    expected[int(query)] = (int(row), [*prefix.tolist(), *chain[:end].tolist()])
        found = {}
        keys, queries, out, tiles = tiled(here, tile)
        for begin, count, each, base, prefix, before, own, stride, after in tiles.tolist():
            assert 1 <= count <= tile and (after <= TOGETHER or each == count)
            for i in range(count):
                chain, position = i // each, base + i % each
                seen = [prefix + j for j in range(before)]
                seen += [own + j for j in range(after) if j // stride == chain and before + j % stride <= position]
                found[int(queries[begin + i])] = (int(out[begin + i]), keys[seen].tolist())
        assert found == expected and sum(tiles[:, 1]) == len(queries) == len(expected)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "window of one": {"sliding_window": 1},
    "window": {"sliding_window": 13},
    "softcap": {"softcap": 2.0, "scaling": 1.0},
    "sinks": {"s_aux": True},
    "all": {"sliding_window": 20, "softcap": 5.0, "s_aux": True, "scaling": 0.7},
}


SHAPES = [(4, 4, 64, 64), (8, 2, 80, 80), (14, 2, 128, 128), (3, 1, 24, 16)]
CASES = [
    *[(name, *shape, dtype) for name in ("plain", "all") for shape in SHAPES for dtype in WITHIN],
    *[(name, 8, 2, 80, 80, torch.float32) for name in OPTIONS if name not in ("plain", "all")],
    ("all", 37, 1, 8, 8, torch.float32),  # more heads read the same keys than a tile has rows, and do not divide
]


@triton
@pytest.mark.parametrize(("name", "heads", "key_heads", "width", "value", "dtype"), CASES)
def test_the_kernel_equals_a_row_at_a_time(
    name: str, heads: int, key_heads: int, width: int, value: int, dtype: torch.dtype
) -> None:
    rng = np.random.default_rng(heads + width)
    here, size = chains(rng, groups=2 if heads < 16 else 0, longest=45)
    torch.manual_seed(width)
    query, key, values = (
        torch.randn(size, *shape, device=DEVICE).to(dtype)
        for shape in ((heads, width), (key_heads, width), (key_heads, value))
    )
    query = query.transpose(0, 1).contiguous().transpose(0, 1)  # heads first, as some projections leave them
    options = dict(OPTIONS[name])
    if "s_aux" in options:
        options["s_aux"] = torch.randn(heads, device=DEVICE).to(dtype)
    tile = tile_of(dtype, heads, key_heads)
    z = torch.full((size, heads * value), torch.nan, device=DEVICE, dtype=dtype)
    tables = [torch.from_numpy(table).to(DEVICE) for table in tiled(here, tile)]
    attend_ragged(query, key, values, z, tables, tile=tile, module=nn.Module(), options=options)
    written = torch.zeros(size, dtype=torch.bool)
    for prefix, own, asked, out in here:
        for chain, queries, to in zip(own, asked, out, strict=True):
            written[torch.from_numpy(to)] = True
            for k in {0, len(queries) // 2, len(queries) - 1}:
                seen = [*prefix.tolist(), *chain[: len(chain) - len(queries) + k + 1].tolist()]
                expected = by_row(query[int(queries[k])], key, values, seen, options)
                assert (z[int(to[k])] - expected).abs().max() <= WITHIN[dtype] * values.abs().max()
    assert torch.equal(z.isfinite().all(dim=1).cpu(), written)


@triton
@pytest.mark.parametrize("kind", ["gemma2", "gpt_oss", "deepseek_v3"])
def test_a_sweep_with_the_kernel_equals_hooks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Seams] = []

    class Kept(Seams):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(run, "Seams", Kept)
    monkeypatch.setattr(run, "way_of", lambda model: replace(GPU, chunk=32, smallest=8, compiled=False))
    model = random_model(kind, dtype=torch.float32)
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": [50, 51], "patches": patches(model)[::9]}
    one, other = (ivx.sweep(model, engine=engine, **asked)["logit"].to_numpy() for engine in ("plan", "hooks"))
    assert np.abs(one - other).max() <= 1e-4
    assert made[-1].padded is None and made[-1].kernels is None


@triton
def test_a_kernel_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Seams] = []

    class Kept(Seams):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    def wrong(query: Tensor, key: Tensor, value: Tensor, z: Tensor, *given: Any, **named: Any) -> None:
        attend_ragged(query, key, value, z, *given, **named)
        z *= 1.001

    monkeypatch.setattr(run, "Seams", Kept)
    monkeypatch.setattr(run, "way_of", lambda model: replace(GPU, chunk=32, smallest=8, compiled=False))
    monkeypatch.setattr(ragged, "attend_ragged", wrong)
    monkeypatch.setattr(ragged, "_proved", {})
    model = random_model("llama", dtype=torch.float32)
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": [50, 51], "patches": patches(model)[::9]}
    one, other = (ivx.sweep(model, engine=engine, **asked)["logit"].to_numpy() for engine in ("plan", "hooks"))
    assert np.abs(one - other).max() <= 1e-4
    assert made[-1].kernels == "attention is padded: the kernel differs from torch's attention by 1e-03 of its size"


def test_what_has_no_kernel_says_why() -> None:
    why = missing(DEVICE, torch.float64)
    assert why is not None and why.why == "float64 is left to torch"
    if importlib.util.find_spec("triton") is None:
        why = missing(DEVICE, torch.float32)
        assert why is not None and why.why == "there is no Triton"
    wide = torch.empty(1, 2, 512)
    why = unfit(wide, wide, wide, tile=32, module=nn.Module(), options={})
    assert why is not None and why.why == "heads are wider than 256"


COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import torch
from ivx.engine.forward.ragged import blocks, tile_of
from ivx.engine.forward.triton_attention import attention

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
for dtype in NAMES:
    for heads, key_heads, width in ((16, 16, 128), (28, 4, 80), (8, 4, 256)):
        like = [torch.empty(1, n, width, dtype=dtype) for n in (heads, key_heads, key_heads)]
        tile = tile_of(dtype, heads, key_heads)
        size = blocks(*like, tile)
        constants = {
            "REPEAT": heads // key_heads, "PACK": size.heads, "WIDTH": width, "VALUE": width,
            "BLOCK_M": size.rows, "BLOCK_N": size.keys, "BLOCK_D": size.width, "BLOCK_V": size.value,
            "CAPPED": True, "WINDOWED": True, "SINKS": True, "PRECISION": "ieee", "WIDE": False,
        }
        kinds = {}
        for i, name in enumerate(attention.arg_names):
            kinds[name] = (
                "constexpr" if name in constants else f"*{NAMES[dtype]}" if i < 5 else "*i64" if i < 9
                else "fp32" if name in ("scale", "cap") else "i32"
            )
        source = ASTSource(attention, kinds, constexprs=constants)
        for capability in (80, 90):
            made = compile(source, target=GPUTarget("cuda", capability, 32))
            print(capability, dtype, width, made.metadata.shared)
"""


@triton
@pytest.mark.slow
def test_the_kernel_compiles_for_gpus_that_are_not_here(tmp_path: Any) -> None:
    """And fits the 99 kB that a small GPU's processor shares."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True, check=True
    )
    sizes = [int(line.split()[-1]) for line in ended.stdout.splitlines()]
    assert len(sizes) == 12 and max(sizes) <= 101_376
