"""The sufficient numbers of a patched row: everything a metric needs, so that no metric reruns the model.

Kept per row: the answer's and the contrast's logit, the log of the summed exponentials, the answer's rank over the
whole vocabulary, the top tokens, and the divergences from the unpatched and the reference run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    1 and near-ties may flip between implementations.
    """
    z, which = _wide(logits), torch.tensor(of, device=logits.device)
    at_answer = z.gather(1, goals.answer[which, None]).squeeze(1)
    contrast = goals.contrast
    at_contrast = None if contrast is None else z.gather(1, contrast[which, None]).squeeze(1).tolist()
    normaliser = z.logsumexp(dim=1)
    top = z.topk(min(TOP, z.shape[1]), dim=1)
    rank = 1 + (z > at_answer[:, None]).sum(dim=1)
    return pa.record_batch(
        [
            pa.array(samples, pa.int32()),
            pa.array(patches, pa.string()),
            pa.array(at_answer.tolist(), pa.float64()),
            pa.array(at_contrast or [None] * len(samples), pa.float64()),
            pa.array(normaliser.tolist(), pa.float64()),
            pa.array(rank.tolist(), pa.int32()),
            *(pa.array(_divergence(base, which, z, normaliser), pa.float64()) for base in goals.compared),
            pa.array(top.indices.tolist(), pa.list_(pa.int32())),
            pa.array(top.values.tolist(), pa.list_(pa.float64())),
        ],
        schema=SCHEMA,
    )


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _divergence(base: Tensor | None, which: Tensor, z: Tensor, normaliser: Tensor) -> list[float | None]:
    """KL(base ‖ row) of each row, clipped at 0 from rounding; None where there is no base."""
    if base is None:
        return [None] * len(which)
    used, at = which.unique(return_inverse=True)
    p = base[used].exp()
    # Σ p (log p − log q), with log q = z − normaliser; 0 log 0 is 0.
    entropy = torch.special.xlogy(p, p).sum(dim=1)
    cross = (z @ p.T).gather(1, at[:, None]).squeeze(1)
    return (entropy[at] - cross + normaliser).clamp(min=0).tolist()
