"""Identities: sets of patches that equal a smaller set, known from their addresses alone.

A later write of the whole stream erases an earlier one at the same token where nothing read that token in between; so
does a write of `attn_out` the writes of its heads. A write that no later block reads, at a token that is not the last,
changes nothing; nor does a write of what the MLP would add anyway. Sets that differ only by such patches are one run:
its rows are computed once, and an interaction there follows from the singles.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from ivx.analyses.interactions.request import WHOLE
from ivx.engine.address import Patch, PatchSet

ERASED = "the later patch erases the earlier one, and nothing reads the token in between"
UNREAD = "no later block reads this token"
REPEATED = "the MLP already reads the source's state, so it adds the source's anyway"

_STAGES = {"resid_pre": 0, "z": 1, "attn_out": 1, "resid_mid": 2, "mlp_out": 3, "resid_post": 4}


class Reduced(NamedTuple):
    """The smaller set that a set equals, and why; the set itself, and "", where it equals none."""

    patches: PatchSet
    reason: str


def reduced(patches: PatchSet, *, layers: int, lengths: Collection[int]) -> Reduced:
    """What is left of a set without the patches that change nothing.

    Args:
        patches: each a state of the source, or the target's own, at a single position; no two at one place.
        layers: blocks of the model.
        lengths: numbers of tokens of all target prompts that this must hold for.
    """
    reasons = []
    kept: list[Patch] = list(patches)
    for patch in patches:
        last = _is_last(patch, lengths)
        if last is False and not _readers(_time(patch), 4 * layers):
            reasons.append(UNREAD)
        elif any(_erases(later, patch, last=last is True) for later in patches):
            reasons.append(ERASED)
        elif patch.site == "mlp_out" and replace(patch, site="resid_mid") in patches:
            reasons.append(REPEATED)
        else:
            continue
        kept.remove(patch)
    return Reduced(tuple(kept), reasons[0] if reasons else "")


def _time(patch: Patch) -> int:
    """When a patch is written: four moments per block; the end of one block is the first moment of the next."""
    return 4 * patch.layer + _STAGES[patch.site]


def _readers(after: int, before: int) -> Sequence[int]:
    """Moments at which some block's attention reads the stream: on or after `after`, and before `before`."""
    return range(-(-after // 4) * 4, before, 4)


def _erases(later: Patch, patch: Patch, *, last: bool) -> bool:
    if later == patch or later.position != patch.position:
        return False
    if later.site == "attn_out":
        # What attention adds is all that comes of its heads at this token.
        return patch.site == "z" and patch.layer == later.layer
    if later.site not in WHOLE:
        return False
    one, two = _time(patch), _time(later)
    behind = (one, patch.layer) < (two, later.layer)
    return behind and (last or not _readers(one, two))


def _is_last(patch: Patch, lengths: Collection[int]) -> bool | None:
    """Whether the patch stands at the last token: of every prompt, of none (False), or of some (None)."""
    if patch.position is None:
        return None
    found = {patch.position % n == n - 1 for n in lengths}
    return found.pop() if len(found) == 1 else None
