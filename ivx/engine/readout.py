"""The sufficient numbers of a patched row: everything a metric needs, so that no metric reruns the model.

Kept per row: the answer's and the contrast's logit, the log of the summed exponentials, the answer's rank over the
whole vocabulary, the top tokens, and the divergences from the unpatched and the reference run.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

TOP = 10
"""How many of the highest logits are kept, with their token ids."""

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("patch", pa.string()),
        ("logit", pa.float64()),
        ("contrast", pa.float64()),
        ("logsumexp", pa.float64()),
        ("rank", pa.int32()),
        ("kl_target", pa.float64()),
        ("kl_reference", pa.float64()),
        ("top_ids", pa.list_(pa.int32())),
        ("top_logits", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class Goal:
    """What is read at one sample's last token: token ids, and log-probabilities `[vocabulary]` to compare with."""

    answer: int
    contrast: int | None
    target: Tensor | None = None
    reference: Tensor | None = None


def batch(logits: Tensor, *, goals: list[Goal], samples: list[int], patches: list[str]) -> pa.RecordBatch:
    """The table's rows for a batch of last-token logits `[rows, vocabulary]`.

    The divergences are KL(target run ‖ row) and KL(reference run ‖ row), in nats; null without such a run. Ranks
    count from 1 and near-ties may flip between implementations.
    """
    z = logits if logits.dtype == torch.float64 else logits.float()
    answers = torch.tensor([g.answer for g in goals], device=z.device)
    contrasts = torch.tensor([-1 if g.contrast is None else g.contrast for g in goals], device=z.device)
    at_answer = z.gather(1, answers[:, None]).squeeze(1)
    at_contrast = z.gather(1, contrasts.clamp(min=0)[:, None]).squeeze(1)
    normaliser = z.logsumexp(dim=1)
    top = z.topk(min(TOP, z.shape[1]), dim=1)
    rank = 1 + (z > at_answer[:, None]).sum(dim=1)
    logprobs = z - normaliser[:, None]
    return pa.record_batch(
        [
            pa.array(samples, pa.int32()),
            pa.array(patches, pa.string()),
            pa.array(at_answer.tolist(), pa.float64()),
            pa.array(at_contrast.tolist(), pa.float64(), mask=(contrasts < 0).numpy(force=True)),
            pa.array(normaliser.tolist(), pa.float64()),
            pa.array(rank.tolist(), pa.int32()),
            pa.array(_divergence([g.target for g in goals], logprobs), pa.float64()),
            pa.array(_divergence([g.reference for g in goals], logprobs), pa.float64()),
            pa.array(top.indices.tolist(), pa.list_(pa.int32())),
            pa.array(top.values.tolist(), pa.list_(pa.float64())),
        ],
        schema=SCHEMA,
    )


def _divergence(base: list[Tensor | None], logprobs: Tensor) -> list[float | None]:
    """KL(base ‖ row) of each row, clipped at 0 from rounding; None where there is no base."""
    found: list[float | None] = []
    for p, q in zip(base, logprobs, strict=True):
        found.append(None if p is None else max(0.0, float((p.exp() * (p - q)).sum())))
    return found
