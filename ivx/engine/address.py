"""Addresses: the one grammar by which a patch is named in Python, on the command line, in URLs and in tables.

    site.layer[.head]@position[~source_position][=random]
    site.layer[.head]@position=zero|mean|own                            sets are joined by commas

Heads have `z`, and the sites inside attention: `q`, `k`, `v` (before rotation; of `k` and `v` the key heads count) and
`pattern`, a token's attention row, which fits a run of equal length at the same token alone.

`*` is every position; positions count from 0, or from the end when negative. Without `~` the source's state at the
same position is taken (a negative position counts from the end of either run). `=zero` and `=mean` ablate instead, the
mean over samples; `=own` writes what stands there in the unpatched target, so that behind other patches it gives a
place its own value back; `=random` writes a random vector of the norm of the state that would be taken
(`ivx.engine.draws`). In a set later patches overwrite earlier ones that write the same place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ivx.errors import AddressError

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")
PATTERN = "pattern"
INSIDE = ("q", "k", "v", PATTERN)
"""Sites inside attention, which hooks alone reach."""
HEADED = ("z", *INSIDE)
"""Sites of which a head has its own part."""
STREAM = "resid_post"
"""The residual stream after a block: the site that is meant where none is named."""
ABLATIONS = ("zero", "mean")
"""Values that are no state of a run."""
OWN = "own"
"""The value of the row's own target where nothing is patched."""
SOURCELESS = (*ABLATIONS, OWN)
"""Values that need no source."""
KEYS_VALUES = "kv"
"""Stands in place of a site where later tokens read one position's keys and values from the source run."""
RANDOM = "random"

_PATCH = re.compile(
    r"(?P<site>[a-z_]+)\.(?P<layer>\d{1,9})(?:\.(?P<head>\d{1,9}))?@(?P<position>\*|-?\d{1,9})"
    r"(?:~(?P<source>-?\d{1,9}))?(?:=(?P<value>\w+))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Patch:
    """One overwritten activation.

    `head` is None for all of `z` and for every other site; `position` None is every position; `source` None is the
    same position as the target's; `value` is None for the source's state, `zero`, `mean` (over samples), `own` (the
    target's, unpatched), or `random` (of the source's norm).
    """

    site: str
    layer: int
    position: int | None
    head: int | None = None
    source: int | None = None
    value: str | None = None

    def __str__(self) -> str:
        head = "" if self.head is None else f".{self.head}"
        position = "*" if self.position is None else str(self.position)
        source = "" if self.source is None else f"~{self.source}"
        value = "" if self.value is None else f"={self.value}"
        return f"{self.site}.{self.layer}{head}@{position}{source}{value}"

    @property
    def ablates(self) -> bool:
        """Whether the patch takes a state of neither the source nor the target."""
        return self.value in ABLATIONS

    @property
    def copies(self) -> bool:
        """Whether the patch writes a state as it stands in a run: the source's, or the target's own."""
        return self.value in (None, OWN)


PatchSet = tuple[Patch, ...]


class Spot(NamedTuple):
    """One state of the residual stream: after block `layer`, at token `position`."""

    layer: int
    position: int


def parse(text: str) -> PatchSet:
    """Read one address, or several joined by commas; raises `AddressError` naming the part that does not fit."""
    return tuple(_parse_one(part.strip()) for part in text.split(","))


def _parse_one(text: str) -> Patch:
    found = _PATCH.fullmatch(text)
    if found is None:
        raise AddressError(
            f"{text!r} is not an address: write site.layer[.head]@position[~source][=value], "
            "such as resid_post.3@0~-1 or z.5.4@-1"
        )
    part = found.groupdict()
    if part["site"] not in (*SITES, *INSIDE):
        raise AddressError(f"{text!r}: there is no site {part['site']!r}; the sites are {', '.join((*SITES, *INSIDE))}")
    if part["head"] is not None and part["site"] not in HEADED:
        raise AddressError(
            f"{text!r}: only z has heads, and {', '.join(INSIDE)}; write {part['site']}.{part['layer']}@…"
        )
    if part["value"] is not None and part["value"] not in (*SOURCELESS, RANDOM):
        raise AddressError(f"{text!r}: a value is =zero, =mean, =own or =random, not ={part['value']}")
    if part["site"] == PATTERN and part["value"] not in (None, "zero", OWN):
        raise AddressError(f"{text!r}: an attention row is taken from a run, or is =zero or =own")
    if part["value"] in SOURCELESS and part["source"] is not None:
        raise AddressError(f"{text!r}: ={part['value']} takes nothing from the source: leave out ~{part['source']}")
    return Patch(
        site=part["site"],
        layer=int(part["layer"]),
        position=None if part["position"] == "*" else int(part["position"]),
        head=None if part["head"] is None else int(part["head"]),
        source=None if part["source"] is None else int(part["source"]),
        value=part["value"],
    )


def check(patch: Patch, *, layers: int, heads: int, parallel: bool, key_heads: int | None = None) -> None:
    """Refuse a layer, head or site that this model does not have; as many `key_heads` as heads by default."""
    if patch.layer >= layers:
        raise AddressError(f"{patch}: this checkpoint has layers 0 to {layers - 1}")
    keyed = patch.site in ("k", "v")
    there = (key_heads or heads) if keyed else heads
    if patch.head is not None and patch.head >= there:
        raise AddressError(f"{patch}: this checkpoint has {'key ' * keyed}heads 0 to {there - 1}")
    if patch.site == "resid_mid" and parallel:
        raise AddressError(
            f"{patch}: attention and MLP of this checkpoint read the same input, so no resid_mid lies between "
            "them; patch attn_out or mlp_out"
        )


def resolve(position: int, *, length: int, patch: Patch, run: str, sample: int) -> int:
    """A position counted from the start; raises when sample `sample`'s `run` has no such token."""
    if -length <= position < length:
        return position % length
    raise AddressError(f"{patch}: the {run} of sample {sample} has {length} tokens, none at {position}")


def spots(patch: Patch, *, sample: int, target: Sequence[int], source: Sequence[int]) -> list[tuple[int, int]]:
    """The (target position, source position) pairs that `patch` means for one sample, counted from the start.

    Where nothing is taken from the source the second of each pair repeats the first: the state, if any, is a target's.
    """
    goal, origin = len(target), len(source)
    if patch.position is not None:
        positions = [resolve(patch.position, length=goal, patch=patch, run="target", sample=sample)]
    else:
        positions = list(range(goal))
    if patch.value in SOURCELESS:
        return [(p, p) for p in positions]
    if patch.site == PATTERN and (origin != goal or patch.source not in (None, patch.position)):
        raise AddressError(
            f"{patch}: sample {sample} has {origin} source and {goal} target tokens, and an attention row fits the "
            "same token of a run of equal length alone: give prompts whose tokens align"
        )
    if patch.source is not None:
        taken = resolve(patch.source, length=origin, patch=patch, run="source", sample=sample)
        return [(p, taken) for p in positions]
    if patch.position is None:
        if origin != goal:
            raise AddressError(
                f"{patch}: sample {sample} has {origin} source and {goal} target tokens, so 'the same position' is "
                "not defined; name one with ~"
            )
        return [(p, p) for p in positions]
    return [(positions[0], resolve(patch.position, length=origin, patch=patch, run="source", sample=sample))]


def coalition(blocks: Sequence[int], position: int) -> str:
    """How tables name a coalition of the clean game: `kv.1@0~-1,kv.3@0~-1`; empty for the empty coalition."""
    return ",".join(f"{KEYS_VALUES}.{block}@{position}~-1" for block in blocks)
