"""Proof: whether a model can be swept by plan, tried on the model itself before its first sweep.

A few rows with every kind of patch are computed by plan and by hooks. Where they differ, or a seam is missing, the
reason is kept, and hooks do that model's sweeps. In half precision two orders of the same sums differ by about as much
as each is off; there both are compared with the same rows in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from ivx.engine.forward.seams import softmax_dtype
from ivx.engine.hooks.run import captured, writes_of
from ivx.engine.hooks.sites import write
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.execute import Unsupported
from ivx.engine.workload import Workload, checked
from ivx.models.doctor import TOLERANCE
from ivx.models.model import Model
from ivx.models.precision import widened

_known: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()

CHANGING_ROPE = ("dynamic", "longrope")
"""Rotary embeddings that depend on the prompt's length: states of prompts of different lengths cannot be shared."""

ROUNDED = 1e-6
"""Of sums of float32 numbers, taken in another order."""
SHORT = 3
"""Tokens of the sliding windows that the proof sets, so that its short prompts reach beyond them with every patch."""
WIDEST, COSTLY_FLOPS = 1024, 3e11
"""Widest sliding window that a prompt is made for, and on a CPU the most that its pass may cost, some five seconds. Of
what is wider or costlier the short window tells: a key is seen by its distance, which is compared with the width, so
that what is left out rightly at one width is so at another."""
FAR, TRIES = 1.5, 4
"""How much further than hooks the plan may be from float32, on so many lots of prompts: on one it may be by chance."""


def unfit(model: Model) -> str | None:
    """Why this model cannot be swept by plan; None where it can. The answer is found once for each model in memory."""
    if model.hf not in _known:
        _known[model.hf] = _tried(model)
    return _known[model.hf]


def _tried(model: Model) -> str | None:
    if _rope(model) in CHANGING_ROPE:
        return f"its rotary embedding ({_rope(model)}) changes with the prompt's length"
    exact = widened(model)
    why = _differs(model, exact, partial(_short, model))
    window = getattr(model.hf.config, "sliding_window", None) or 0
    if why is None and window > SHORT:
        with _windows(model, SHORT), _windows(exact, SHORT):
            why = _differs(model, exact, partial(_short, model))
        if why is None and _is_within_reach(model, window + SHORT + 1):
            # Which keys are seen does not depend on the dtype, and half precision is slow on many a CPU.
            why = _differs(exact or model, None, partial(_long, model, window + SHORT + 1), bare=False)
    return why


def _is_within_reach(model: Model, length: int) -> bool:
    """Whether prompts can be of so many tokens, and a pass of one is worth its time."""
    most = getattr(model.hf.config, "max_position_embeddings", None) or length
    flops = 2 * length * sum(p.numel() for block in model.blocks for p in block.parameters())
    return length <= min(most, WIDEST + SHORT + 1) and (model.device.type != "cpu" or flops <= COSTLY_FLOPS)


def _differs(model: Model, exact: Model | None, made: Callable[[int], Workload], *, bare: bool = True) -> str | None:
    """Why the plan's logits are not those of plain hooks; None where they are.

    Args:
        exact: the model in float32, from which both are measured.
        made: takes an attempt's number.
        bare: whether unpatched rows are looked at, too.
    """
    off = np.zeros(3)
    for attempt in range(TRIES):
        asked = made(attempt)
        try:
            every = pa.Table.from_batches(list(by_plan.run(model, asked, memory_gb=1.0))).to_pylist()
        except Unsupported as reason:
            return str(reason)
        except (TypeError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            return f"a seam of its modules does not hold ({type(error).__name__}: {first:.120})"
        rows = [row for row in every if bare or row["patch"]]
        if any(row["logit"] is None for row in rows):
            return "the plan's logits are not finite on the proof's prompts"
        planned = np.concatenate([[row["logit"], *row["top_logits"], row["logsumexp"]] for row in rows])
        plain = _by_hooks(model, asked, rows)
        if exact is None:
            apart = float(np.abs(planned - plain).max() / max(float(np.abs(plain).max()), 1e-12))
            if not apart <= _tolerance(model):
                return f"the plan's logits differ from plain hooks' by {apart:.0e} of their size"
            return None
        truth = _by_hooks(exact, asked, rows)
        off += [np.sum(numbers**2) for numbers in (planned - truth, plain - truth, truth)]
        mine, theirs = np.sqrt(off[:2] / max(off[2], 1e-12))
        if mine <= FAR * theirs + torch.finfo(model.dtype).eps / 4:
            return None
    return f"the plan's logits are off by {mine:.0e} of their size in float32, those of plain hooks by {theirs:.0e}"


def _tolerance(model: Model) -> float:
    """What the plan may differ by.

    Where chains are padded, a checkpoint's own softmax in float32 sums in another order, though all else is float64.
    """
    attention = model.module(0, model.anatomy.projection.rpartition(".")[0])
    rounds = (
        by_plan.way_of(model).together
        and model.dtype == torch.float64
        and softmax_dtype(attention, model) == torch.float32
    )
    return ROUNDED if rounds else TOLERANCE[model.dtype]


def _by_hooks(model: Model, asked: Workload, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """What these rows read, of a model whose states are overwritten by hooks: answer, top tokens and the normaliser."""
    sets = {"": (), **asked.patches}
    states = captured(model, asked, list(sets.values()))
    found: dict[tuple[int, str], NDArray[np.float64]] = {}
    for i, ids in enumerate(asked.target):
        mine = [row for row in rows if row["sample"] == i]
        batch = torch.tensor([ids] * len(mine), device=model.device)
        with write(model, writes_of(model, asked, [(i, sets[row["patch"]]) for row in mine], states, {})):
            logits = model.hf(input_ids=batch, use_cache=False, logits_to_keep=1).logits[:, -1].double().cpu()
        for row, whole in zip(mine, logits, strict=True):
            read = whole[[*asked.answer[i], *row["top_ids"]]]
            found[i, row["patch"]] = torch.cat([read, whole.logsumexp(0)[None]]).numpy()
    return np.concatenate([found[row["sample"], row["patch"]] for row in rows])


@contextmanager
def _windows(model: Model | None, width: int) -> Iterator[None]:
    """Sliding windows shorter than the proof's prompts: the layers' choice of keys shows at a few tokens' cost."""
    holders: list[Any] = [] if model is None else [model.hf.config, *model.hf.modules()]
    before = [(one, one.sliding_window) for one in holders if isinstance(getattr(one, "sliding_window", None), int)]
    for one, _ in before:
        one.sliding_window = width
    try:
        yield
    finally:
        for one, window in before:
            one.sliding_window = window


def _rope(model: Model) -> str | None:
    told = getattr(model.hf.config, "rope_parameters", None) or getattr(model.hf.config, "rope_scaling", None) or {}
    return told.get("rope_type")


def _short(model: Model, attempt: int) -> Workload:
    """Two ragged samples, patched at every site, early and late, one by one and together."""
    middle, last = model.layers // 2, model.layers - 1
    patches = [f"resid_post.{middle}@1~-1", f"z.{middle}.{model.heads - 1}@-1", f"attn_out.0@1,mlp_out.{last}@-1"]
    if not model.anatomy.parallel:
        patches.append(f"resid_mid.{middle}@0~1")
    return _workload(model, [(7, 6), (11, 4)], [(5, 5), (13, 7)], patches, attempt)


def _long(model: Model, length: int, attempt: int) -> Workload:
    """One sample of so many tokens, patched near its end: what is behind the patch no longer sees the beginning."""
    return _workload(model, [(7, 4)], [(5, length)], [f"resid_post.0@-{SHORT}~-1"], attempt)


def _workload(
    model: Model, source: list[tuple[int, int]], target: list[tuple[int, int]], patches: list[str], attempt: int
) -> Workload:
    """Prompts of (step, length)."""
    runs = [
        [[(i * step + 3 + 17 * attempt) % model.vocabulary for i in range(n)] for step, n in told]
        for told in (source, target)
    ]
    return checked(
        model,
        source=runs[0],
        target=runs[1],
        answer=[1 + i for i in range(len(target))],
        patches=patches,
        contrast=None,
        reference=None,
    )
