"""The sufficient numbers of a patched row: everything a metric needs, so that no metric reruns the model.

Kept per row: the answer's and the contrast's logit, the log of the summed exponentials, the answer's rank over the
whole vocabulary, the top tokens, and the divergences from the unpatched and the reference run. They are gathered over
tiles of the vocabulary, so that no more logits are in memory than a tile has, whatever the vocabulary.

An answer of several tokens, one for each of its spellings, has the log of their summed exponentials for a logit, so
that its probability is the sum of theirs, and the rank of its likeliest token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.engine.schema import SCHEMA, TOP

LOWEST = -1e30
"""Stands for a logit of minus infinity, a token that is ruled out: where it is in two runs, they do not differ."""
FAINT = -80.0
"""Logits further below the highest add nothing to a sum; as denormal numbers they would be slow."""
SPAN = 32
"""The tokens whose highest logit is looked at first, when the highest of a tile are sought."""
_NUMBERS = 6
"""Numbers of a row before its top tokens."""
_NONE = -1
"""Stands in the place of a token where another answer has more of them."""

Answer = int | Sequence[int]
"""One token id, or several, any of which is the answer."""


class Logits(Protocol):
    """Last-token logits of some rows, made a tile of the vocabulary at a time."""

    vocabulary: int
    device: torch.device

    def tile(self, start: int, stop: int) -> Tensor:
        """Those of tokens `start` to `stop`: `[rows, stop - start]`, the caller's to change."""

    def at(self, tokens: Tensor) -> Tensor:
        """Those of these tokens: `[rows, tokens]`."""


class Whole:
    """Logits `[rows, vocabulary]` that are there already."""

    def __init__(self, found: Tensor) -> None:
        self.found, self.vocabulary, self.device = found, found.shape[1], found.device

    def tile(self, start: int, stop: int) -> Tensor:
        return self.found[:, start:stop].clone()

    def at(self, tokens: Tensor) -> Tensor:
        return self.found.index_select(1, tokens)


class Group(NamedTuple):
    """The rows `start` to `stop`, all of one sample: its unpatched run, its reference run if any, the patched ones."""

    start: int
    stop: int
    answer: Answer
    contrast: Answer | None
    reference: bool


@dataclass(frozen=True)
class Goals:
    """What is read from the logits at each sample's last token, by hooks.

    `answer` and `contrast` are token ids by sample, one or several; `target` and `reference` hold the logits
    `[samples, vocabulary]` of the unpatched and of the reference run, None where there is none to compare with.
    """

    answer: Sequence[Answer]
    contrast: Sequence[Answer] | None
    target: Tensor
    reference: Tensor | None = None


def ids_of(answer: Answer) -> tuple[int, ...]:
    """The distinct token ids of an answer."""
    return (int(answer),) if isinstance(answer, (int, np.integer)) else tuple(dict.fromkeys(map(int, answer)))


def score(logits: Tensor) -> Tensor:
    """The logit of an answer of which these are its tokens' `[tokens, …]`."""
    return logits[0] if len(logits) == 1 else _wide(logits).logsumexp(dim=0)


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax in float32, or in float64 where the logits are."""
    return _wide(logits).log_softmax(dim=1)


def batch(logits: Tensor, *, goals: Goals, of: Sequence[int], samples: list[int], patches: list[str]) -> pa.RecordBatch:
    """The table's rows for last-token logits `[rows, vocabulary]`; `of` is each row's sample in `goals`."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, sample in enumerate(of):
        members[sample].append(row)
    parts, groups, places, start = [], [], np.empty(len(of), dtype=np.int64), 0
    for sample, rows in members.items():
        beside = [x[sample, None] for x in (goals.target, goals.reference) if x is not None]
        parts += [*beside, logits[rows]]
        places[rows] = start + len(beside) + np.arange(len(rows))
        stop = start + len(beside) + len(rows)
        contrast = None if goals.contrast is None else goals.contrast[sample]
        groups.append(Group(start, stop, goals.answer[sample], contrast, goals.reference is not None))
        start = stop
    found = numbers(Whole(torch.cat(parts)), groups, columns=logits.shape[1])
    return table(found.cpu().numpy()[places], samples=samples, patches=patches)


@torch.inference_mode()
def numbers(logits: Logits, groups: Sequence[Group], *, columns: int, skip: bool = True) -> Tensor:
    """Everything that is kept of some rows, in one pass over the vocabulary.

    Args:
        groups: the rows' samples, one after another.
        columns: tokens of a tile.
        skip: pass over rows that a tile brings no new top token; to know them a device has to be waited for.

    Returns:
        `[rows, 6 + 2 × top]` in float64: the answer's logit, the contrast's, the log of the summed exponentials, the
        answer's rank, KL(unpatched ‖ row) and KL(reference ‖ row) in nats, then ids and logits of the top tokens. NaN
        where there is no such number, or it is not finite.
    """
    sums = _Sums(logits, groups, skip=skip)
    for start in range(0, logits.vocabulary, columns):
        tile = _wide(logits.tile(start, min(start + columns, logits.vocabulary))).clamp_(min=LOWEST)
        sums.add(start, tile)
    return sums.numbers()


class _Sums:
    """What is known of the rows after some tiles.

    With p the unpatched run's probabilities and z its logits, KL(p ‖ q) is Σ p (z − z_q) less the difference of the two
    normalisers. A row's logits are subtracted before anything is summed, so a row that changes nothing has exactly 0.
    """

    def __init__(self, logits: Logits, groups: Sequence[Group], *, skip: bool) -> None:
        self.groups, self.skip, device = groups, skip, logits.device
        sizes = [group.stop - group.start for group in groups]
        answers = _aligned([g.answer for g in groups])
        contrasts = _aligned([g.answer if g.contrast is None else g.contrast for g in groups])
        self.spellings, rows = len(answers), sum(sizes)
        tokens, which = np.unique(np.where(answers == _NONE, answers[0], answers), return_inverse=True)
        by_row = np.repeat(np.concatenate([which.reshape(answers.shape), answers, contrasts]), sizes, axis=1)
        told = torch.from_numpy(np.concatenate([tokens, by_row.ravel()])).to(device)  # the one copy to the device
        by_row_of = told[len(tokens) :].view(-1, rows)
        self.asked = by_row_of[self.spellings :]
        # The answer's logit is needed before its tile comes, to count what lies above.
        known = _wide(logits.at(told[: len(tokens)])).gather(1, by_row_of[: self.spellings].T)
        self.bar = known if self.spellings == 1 else known.amax(dim=1, keepdim=True)
        self.peak = self.bar.new_full((rows,), -torch.inf)
        self.above, self.total, *self.apart = torch.zeros(4, rows, dtype=torch.float64, device=device)
        self.own = self.bar.new_full(self.asked.shape, torch.nan)
        most = min(TOP, logits.vocabulary)
        self.top = self.bar.new_full((rows, most), -torch.inf)
        self.top_ids = torch.zeros(rows, most, dtype=torch.int64, device=device)

    def add(self, start: int, z: Tensor) -> None:
        """Take in the logits of a tile, `[rows, tokens]`."""
        self._goals(start, z)
        highest = z.amax(dim=1)
        self._top(start, z, highest)
        peak = torch.maximum(self.peak, highest)
        faded = (self.peak - peak).exp().double()
        share = torch.sub(z, peak[:, None]).clamp_(min=FAINT).exp_()
        self.peak, self.total = peak, self.total * faded + share.sum(dim=1).double()
        for group in self.groups:
            rows = slice(group.start, group.stop)
            moved = z[group.start] - z[rows]
            for base, apart in enumerate(self.apart[: 1 + group.reference]):
                at = group.start + base
                found = (moved * share[at]).sum(dim=1).double()  # a sum in steps, which a product is not
                # Of the reference run: z_r − z_q = (z_t − z_q) − (z_t − z_r).
                apart[rows] = apart[rows] * faded[at] + (found - found[base])
        self.above += torch.gt(z, self.bar, out=share).sum(dim=1)

    def _goals(self, start: int, z: Tensor) -> None:
        """Keep the logits of answer and contrast where the tile has them; an answer is not above itself."""
        for k, (own, token) in enumerate(zip(self.own, self.asked, strict=True)):
            at = (token - start).clamp(0, z.shape[1] - 1)
            here, value = at == token - start, z.gather(1, at[:, None]).squeeze(1)
            own.copy_(torch.where(here, value, own))
            if k < self.spellings:
                self.above -= (here & (value > self.bar.squeeze(1))).double()

    def _top(self, start: int, z: Tensor, highest: Tensor) -> None:
        """Merge a tile's highest logits into the highest so far."""
        if not self.skip:
            self.top, self.top_ids = self._merged(start, z, self.top, self.top_ids)
            return
        rows = (highest > self.top[:, -1]).nonzero().squeeze(1)
        if len(rows) == len(z):
            self.top, self.top_ids = self._merged(start, z, self.top, self.top_ids)
        elif len(rows):
            self.top[rows], self.top_ids[rows] = self._merged(start, z[rows], self.top[rows], self.top_ids[rows])

    def _merged(self, start: int, z: Tensor, top: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        values, at = _highest(z, min(top.shape[1], z.shape[1]))
        values, ids = torch.cat([top, values], dim=1), torch.cat([ids, at + start], dim=1)
        best = values.topk(top.shape[1], dim=1)
        return best.values, ids.gather(1, best.indices)

    def numbers(self) -> Tensor:
        """The numbers of every row."""
        normaliser = self.peak.double() + self.total.log()
        found = torch.full((len(normaliser), _NUMBERS), torch.nan, dtype=torch.float64, device=normaliser.device)
        answer, contrast = self._scores(slice(self.spellings)), self._scores(slice(self.spellings, None))
        found[:, 0], found[:, 2], found[:, 3] = answer, normaliser, 1 + self.above
        for group in self.groups:
            rows = slice(group.start, group.stop)
            if group.contrast is not None:
                found[rows, 1] = contrast[rows].double()
            for base in range(1 + group.reference):
                at = group.start + base
                kl = self.apart[base][rows] / self.total[at] + (normaliser[rows] - normaliser[at])
                found[rows, 4 + base] = kl.clamp(min=0)
        return torch.cat([found, self.top_ids.double(), self.top.double()], dim=1)

    def _scores(self, part: slice) -> Tensor:
        """The logits of the rows' answers, or of their contrasts."""
        own = self.own[part]
        return own[0] if len(own) == 1 else score(torch.where(self.asked[part] == _NONE, -torch.inf, own).double())


def _aligned(answers: Sequence[Answer]) -> NDArray[np.int64]:
    """Token ids `[tokens, answers]` of answers that have some of them or all."""
    ids = [ids_of(answer) for answer in answers]
    most = max(map(len, ids))
    return np.array([[*own, *[_NONE] * (most - len(own))] for own in ids], dtype=np.int64).T


def _highest(z: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Values and columns of the highest of each row: sought in the spans that hold the highest."""
    spans = z.shape[1] // SPAN
    if spans < 2 * SPAN or z.shape[1] % SPAN:
        found = z.topk(most, dim=1)
        return found.values, found.indices
    # A span is every `spans`-th column, so that a row's spans are reduced along contiguous memory.
    span = z.view(len(z), SPAN, spans).amax(dim=1).topk(most, dim=1).indices
    columns = (span[:, None] + spans * torch.arange(SPAN, device=z.device)[:, None]).flatten(1)
    found = z.gather(1, columns).topk(most, dim=1)
    return found.values, columns.gather(1, found.indices)


def table(found: NDArray[np.float64], *, samples: Sequence[int], patches: Sequence[str]) -> pa.RecordBatch:
    """The table's rows from their `numbers`. A row whose numbers are not finite is undefined: it holds none."""
    most = (found.shape[1] - _NUMBERS) // 2
    ids, top = found[:, _NUMBERS : _NUMBERS + most], found[:, _NUMBERS + most :]
    there = np.isfinite(found[:, (0, 2)]).all(axis=1) & (found[:, 0] > LOWEST) & (found[:, 2] > LOWEST)
    there &= (np.isfinite(top) & (top > LOWEST)).all(axis=1)
    contrast = found[:, 1]
    there &= np.isnan(contrast).all() | (np.isfinite(contrast) & (contrast > LOWEST))
    rank = np.where(there, found[:, 3], 0).astype(np.int32)
    # Where a token of the base is ruled out in the row, the divergence has no number.
    columns = [np.where(np.abs(found[:, k]) < -LOWEST / 1e3, found[:, k], np.nan) for k in (4, 5)]

    def kept(values: NDArray, known: NDArray) -> pa.Array:
        return pa.array(values, mask=~known)

    def listed(values: NDArray, kind: pa.DataType) -> pa.Array:
        flat = pa.array(values[there].ravel(), kind)
        offsets = np.concatenate([[0], np.cumsum(there) * most]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~there))

    return pa.record_batch(
        [
            pa.array(samples, pa.int32()),
            pa.array(patches, pa.string()),
            kept(found[:, 0], there),
            kept(contrast, there & np.isfinite(contrast)),
            kept(found[:, 2], there),
            kept(rank, there),
            *(kept(values, there & np.isfinite(values)) for values in columns),
            listed(np.nan_to_num(ids).astype(np.int32), pa.int32()),
            listed(top, pa.float64()),
        ],
        schema=SCHEMA,
    )


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
