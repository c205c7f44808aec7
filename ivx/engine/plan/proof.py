"""Proof: whether a model can be swept by plan, tried on the model itself before its first sweep.

A few short rows with every kind of patch are computed by plan and by hooks. Where they differ, or a seam is missing,
the reason is kept, and hooks do that model's sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from torch import nn

from ivx.engine.hooks import run as by_hooks
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.execute import Unsupported
from ivx.engine.workload import Workload, checked
from ivx.models.doctor import TOLERANCE
from ivx.models.model import Model

_known: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()

CHANGING_ROPE = ("dynamic", "longrope")
"""Rotary embeddings that depend on the prompt's length: states of prompts of different lengths cannot be shared."""

SHORT = 3
"""Tokens of the sliding windows that the proof sets."""


def unfit(model: Model) -> str | None:
    """Why this model cannot be swept by plan; None where it can. The answer is found once for each model in memory."""
    if model.hf not in _known:
        _known[model.hf] = _tried(model)
    return _known[model.hf]


def _tried(model: Model) -> str | None:
    if _rope(model) in CHANGING_ROPE:
        return f"its rotary embedding ({_rope(model)}) changes with the prompt's length"
    why = _differs(model)
    if why is None and (getattr(model.hf.config, "sliding_window", None) or 0) > SHORT:
        with _short_windows(model):
            why = _differs(model)
    return why


def _differs(model: Model) -> str | None:
    """Why the plan's logits are not those of plain hooks; None where they are."""
    asked = _workload(model)
    try:
        planned = _logits(by_plan.run(model, asked, memory_gb=1.0), asked)
    except Unsupported as reason:
        return str(reason)
    except (TypeError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        return f"a seam of its modules does not hold ({type(error).__name__}: {first:.120})"
    plain = _logits(by_hooks.run(model, asked, memory_gb=1.0), asked)
    apart = float(np.abs(planned - plain).max() / max(float(np.abs(plain).max()), 1e-12))
    if not apart <= TOLERANCE[model.dtype]:
        return f"the plan's logits differ from plain hooks' by {apart:.0e} of their size"
    return None


@contextmanager
def _short_windows(model: Model) -> Iterator[None]:
    """Sliding windows shorter than the proof's prompts: the layers' choice of keys shows at a few tokens' cost."""
    holders: list[Any] = [model.hf.config, *model.hf.modules()]
    before = [(one, one.sliding_window) for one in holders if isinstance(getattr(one, "sliding_window", None), int)]
    for one, _ in before:
        one.sliding_window = SHORT
    try:
        yield
    finally:
        for one, window in before:
            one.sliding_window = window


def _rope(model: Model) -> str | None:
    told = getattr(model.hf.config, "rope_parameters", None) or getattr(model.hf.config, "rope_scaling", None) or {}
    return told.get("rope_type")


def _workload(model: Model) -> Workload:
    """Two ragged samples, patched at every site, early and late, one by one and together."""
    ids = [[(i * step + 3) % model.vocabulary for i in range(n)] for step, n in ((7, 6), (11, 4), (5, 5), (13, 7))]
    middle, last = model.layers // 2, model.layers - 1
    patches = [f"resid_post.{middle}@1~-1", f"z.{middle}.{model.heads - 1}@-1", f"attn_out.0@1,mlp_out.{last}@-1"]
    if not model.anatomy.parallel:
        patches.append(f"resid_mid.{middle}@0~1")
    return checked(model, source=ids[:2], target=ids[2:], answer=[1, 2], patches=patches, contrast=None, reference=None)


def _logits(batches: object, asked: Workload) -> np.ndarray:
    table = pa.Table.from_batches(list(batches)).sort_by([("patch", "ascending"), ("sample", "ascending")])  # type: ignore[call-overload]
    return np.stack([table["logit"].to_numpy(), table["logsumexp"].to_numpy()])
