"""The sufficient numbers of a patched row: everything a metric needs, so that no metric reruns the model.

Kept per row: the answer's and the contrast's logit, the log of the summed exponentials, the answer's rank over the
whole vocabulary, the top tokens, and the divergences from the unpatched and the reference run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine.schema import SCHEMA, TOP


@dataclass(frozen=True)
class Goals:
    """What is read from the logits at each sample's last token.

    `answer` and `contrast` are token ids `[samples]`; `compared` holds the log-probabilities `[samples, vocabulary]` of
    the unpatched and of the reference run, each None where there is none to compare with.
    """

    answer: Tensor
    contrast: Tensor | None
    compared: tuple[Tensor | None, Tensor | None] = (None, None)


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax in float32, or in float64 where the logits are."""
    return _wide(logits).log_softmax(dim=1)


def batch(logits: Tensor, *, goals: Goals, of: Sequence[int], samples: list[int], patches: list[str]) -> pa.RecordBatch:
    """The table's rows for last-token logits `[rows, vocabulary]`; `of` is each row's sample in `goals`.

    The divergences are KL(unpatched ‖ row) and KL(reference ‖ row), in nats; null without such a run. Ranks count from
    1 and near-ties may flip between implementations. A row whose numbers are not finite is undefined: it holds none.
    """
    z, which = _wide(logits), torch.tensor(of, device=logits.device)
    at_answer = z.gather(1, goals.answer[which, None]).squeeze(1)
    contrast = goals.contrast
    at_contrast = None if contrast is None else z.gather(1, contrast[which, None]).squeeze(1)
    normaliser = z.logsumexp(dim=1)
    top = z.topk(min(TOP, z.shape[1]), dim=1)
    rank = 1 + (z > at_answer[:, None]).sum(dim=1)
    finite = at_answer.isfinite() & normaliser.isfinite() & top.values.isfinite().all(dim=1)
    if at_contrast is not None:
        finite &= at_contrast.isfinite()
    there = finite.tolist()

    def kept(values: list[Any] | None, kind: pa.DataType) -> pa.Array:
        told = values or [None] * len(samples)
        return pa.array([value if known else None for value, known in zip(told, there, strict=True)], kind)

    return pa.record_batch(
        [
            pa.array(samples, pa.int32()),
            pa.array(patches, pa.string()),
            kept(at_answer.tolist(), pa.float64()),
            kept(None if at_contrast is None else at_contrast.tolist(), pa.float64()),
            kept(normaliser.tolist(), pa.float64()),
            kept(rank.tolist(), pa.int32()),
            *(kept(_divergence(base, which, z, normaliser), pa.float64()) for base in goals.compared),
            kept(top.indices.tolist(), pa.list_(pa.int32())),
            kept(top.values.tolist(), pa.list_(pa.float64())),
        ],
        schema=SCHEMA,
    )


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _divergence(base: Tensor | None, which: Tensor, z: Tensor, normaliser: Tensor) -> list[float | None]:
    """KL(base ‖ row) of each row, clipped at 0 from rounding; None where there is no base, or it is not finite."""
    if base is None:
        return [None] * len(which)
    used, at = which.unique(return_inverse=True)
    p = base[used].exp()
    # Σ p (log p − log q), with log q = z − normaliser; 0 log 0 is 0.
    entropy = torch.special.xlogy(p, p).sum(dim=1)
    held = z.masked_fill(z.isneginf(), torch.finfo(z.dtype).min)  # a token that is ruled out in both adds 0
    cross = (held @ p.T).gather(1, at[:, None]).squeeze(1)
    found = (entropy[at] - cross + normaliser).clamp(min=0)
    return [value if math.isfinite(value) else None for value in found.tolist()]
