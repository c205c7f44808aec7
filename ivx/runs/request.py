"""What is asked of ivx, frozen: every field changes a number, and nothing that does not is here.

A request and the fingerprint of the checkpoint it meets hash to the run id, the one address of its result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from ivx.engine.address import SITES
from ivx.errors import IvxError

ENGINE = "plan-1"
"""Name and version of the way rows are computed; part of every run id."""

DIRECTIONS = ("denoise", "noise")


@dataclass(frozen=True)
class EffectsRequest:
    """One effect map.

    Attributes:
        checkpoint: name, hub id or directory.
        task, against: the instruction patched in, and the task whose answer is the contrast (None: its natural one).
        sites: residual, attn_out and mlp_out sites give a layer × position map; `z` a layer × head map at the answer.
        position: `all`, `first`, `last` or an index into the target prompt.
        source_token: where the vector is taken from: `t_inst`, `keyword`, or an index into the instruction's tokens.
        direction: `denoise` puts the instructed run's states into the bare prompt, `noise` the reverse.
        target_format: `prompt`, `query`, `filler` or `chat`.
        adapter: directory of a LoRA adapter that is merged at load.
    """

    checkpoint: str
    task: str
    against: str | None = None
    sites: tuple[str, ...] = ("resid_post", "z")
    position: str = "all"
    source_token: str = "t_inst"
    direction: str = "denoise"
    target_format: str = "prompt"
    samples: int = 40
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None

    def __post_init__(self) -> None:
        unknown = [site for site in self.sites if site not in SITES]
        if unknown or not self.sites:
            raise IvxError(f"there is no site {', '.join(unknown) or 'named'}; the sites are {', '.join(SITES)}")
        if self.direction not in DIRECTIONS:
            raise IvxError(f"direction {self.direction!r} is not known: use {' or '.join(DIRECTIONS)}")
        if not 1 <= self.samples <= 10_000:
            raise IvxError(f"samples is {self.samples}: choose 1 to 10,000")
        for name, words in (("position", ("all", "first", "last")), ("source_token", ("t_inst", "keyword"))):
            value = getattr(self, name)
            if value not in words and not value.removeprefix("-").isdigit():
                raise IvxError(f"{name.replace('_', ' ')} {value!r} is not known: use {', '.join(words)} or an index")

    def run_id(self, fingerprint: str, *, engine: str = ENGINE) -> str:
        """Hash of all that changes a number, as 12 hexadecimal digits; the checkpoint enters by its fingerprint."""
        asked = {**asdict(self), "checkpoint": fingerprint, "engine": engine}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
