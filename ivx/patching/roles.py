"""Roles: whose states a row was patched with, and in which run: the sample's own, or a control's.

Where states are put into the bare prompt, a control's states are put there instead: those of another task's
instruction, of a sentence that asks for nothing, of another sample told the same, or random ones of the same norm.
Where the instructed run is disturbed, the first two disturb a run that was told otherwise, and another sample's states
disturb the sample's own run but leave the instruction in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ivx.engine.address import ABLATIONS, OWN, RANDOM, parse, spots
from ivx.errors import IvxError
from ivx.patching.positions import Places, bare_places, placed, told_places
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples
from ivx.vocabulary import CONTROL, OTHERS, SHOWN_CONTROLS

Ids = Sequence[int]

ROLES = ("effect", *(control.role for control in CONTROL.values()), "told")
"""Rows with the sample's own source, with that of each control (`control` is another task), and the told run's."""

WORD = "word"
"""The source position at the end of a word that is fed alone."""


def role_of(control: str) -> str:
    """The role of a control's rows."""
    return CONTROL[control].role


def is_real(control: str, *, direction: str) -> bool:
    """Whether an effect must beat this control to be a finding.

    Another sample's instruction is the same instruction in other words and should do the same: it shows that wording
    does not matter, and, for `z`, taken from the whole instructed prompt, whether it holds the sample's query as well.
    Demonstrations whose answers are shuffled still show the answers' form.
    A random state disturbs a run no less than any other, so it is no control where a run is disturbed.
    """
    return control not in (("shuffled", "unpaired") if direction == "denoise" else ("random", "unpaired"))


def variant(role: str, patch: str) -> str:
    """The patch that a role runs in place of a cell's; a target's own value is that in every role."""
    if role == "aggregation":  # one word's state is the control of all source tokens
        return re.sub(r"~[^,=]+", f"~{WORD}", patch)
    if role in ("random", "shuffled"):
        patch = re.sub(rf"=({'|'.join(ABLATIONS)})", "", patch)
    if role == "random":
        parts = patch.split(",")
        return ",".join(part if part.endswith(f"={OWN}") else f"{part}={RANDOM}" for part in parts)
    return patch


def plain(patch: str) -> str:
    """The patch that a role's variant stands for, where positions are numbers."""
    return patch.replace(f"={RANDOM}", "")


@dataclass(frozen=True)
class Runs:
    """The prompts behind the rows of one role, sample by sample.

    `places` gives the named positions in each target and source, where they are not numbers; `takes` is the one
    source position whose patches these runs are for, empty for all. `means` are the prompts that a `=mean` patch
    averages over, where these are not the targets.
    """

    role: str
    sources: Sequence[Ids]
    targets: Sequence[Ids]
    references: Sequence[Ids]
    places: Sequence[tuple[Places, Places]] = ()
    takes: str = ""
    means: Sequence[Ids] = ()

    def runs(self, patch: str) -> bool:
        """Whether these are the runs of a patch: of all patches, or of those that take one source token."""
        return not patch or not self.takes or f"~{self.takes}" in re.findall(r"~[^,=]+", patch)

    def named(self, patches: Sequence[str]) -> list[str]:
        """The patches that are run in place of these cells', each once."""
        return list(dict.fromkeys(name for patch in patches if self.runs(name := variant(self.role, patch))))

    def address(self, sample: int, patch: str) -> str:
        """A patch in the sample's own numbers."""
        return placed(patch, *self.places[sample]) if patch and self.places else patch

    def averaged(self, patch: str) -> list[tuple[Ids, int]]:
        """The states whose mean a `=mean` patch writes: the addressed ones of every sample's target, or of `means`."""
        return [
            (ids, position)
            for k, (ids, source) in enumerate(zip(self.means or self.targets, self.sources, strict=True))
            for part in parse(self.address(k, patch))
            if part.value == "mean"
            for position, _ in spots(part, sample=k, target=ids, source=source)
        ]


def controls_there(controls: Sequence[str], samples: Samples) -> list[str]:
    """The controls that are available: a task may have no control task, and wordings may mark no task phrase."""
    lacking = {"task"} if not samples.control else set()
    lacking.update(OTHERS[len(samples.others) :])
    lacking.update(name for name in SHOWN_CONTROLS if not getattr(samples, name))
    if any(s.word is None for s in samples.rows):
        lacking.add("aggregation")
    return [name for name in controls if name not in lacking]


def denoising(
    samples: Samples, source: Callable[[Sample], Ids], controls: Sequence[str] = ("task",)
) -> tuple[Runs, ...]:
    """The bare prompts, with states of each sample's and each control's source."""
    told = _told_of(samples, controls)
    if "shuffled" in told:
        told["shuffled"] = tuple(samples.rows[i] for i in partners(samples.rows))
        if any(source(own) == source(other) for own, other in zip(samples.rows, told["shuffled"], strict=True)):
            raise IvxError("the control shuffled needs two wordings at least: leave it out, or add a wording")
    targets, references = [s.target for s in samples.rows], [s.instructed for s in samples.rows]
    return tuple(Runs(role, [source(s) for s in rows], targets, references) for role, rows in told.items())


def disturbing(samples: Samples, direction: str, controls: Sequence[str] = ("task",)) -> tuple[Runs, ...]:
    """The instructed prompts, with states of bare ones (`noise`), of other samples told the same (`resample`, and the
    control `shuffled`), or with their own, where those are ablated.
    """
    found = []
    for role, rows in _told_of(samples, controls).items():
        targets, places = [s.instructed for s in rows], [told_places(s) for s in rows]
        sources, origins = targets, places
        if role == "shuffled" or direction == "resample":
            others = partners(samples.rows)
            sources, origins = [targets[i] for i in others], [places[i] for i in others]
        elif direction == "noise":
            sources, origins = [s.target for s in rows], [bare_places(s) for s in rows]
        both = list(zip(places, origins, strict=True))
        found.append(Runs(role, sources, targets, [s.target for s in rows], both))
    return tuple(found)


def _told_of(samples: Samples, controls: Sequence[str]) -> dict[str, tuple[Sample, ...]]:
    rows = samples.rows
    every = dict(zip(OTHERS, samples.others, strict=False))
    every |= {"task": samples.control, "neutral": samples.neutral, "random": rows, "shuffled": rows}
    every |= {"counter": samples.counter, "unpaired": samples.unpaired}
    return {"effect": rows} | {role_of(name): every[name] for name in controls_there(controls, samples)}


def partners(rows: Sequence[Sample]) -> list[int]:
    """For each sample, the index of the next with another wording and query; or else of the next with another query."""
    n = len(rows)
    if n < 2:
        raise IvxError("pairing samples with others needs two at least: ask for more")
    found = []
    for i, own in enumerate(rows):
        others = [(i + k) % n for k in range(1, n)]
        found.append(next((j for j in others if rows[j].instruction.text != own.instruction.text), others[0]))
    return found
