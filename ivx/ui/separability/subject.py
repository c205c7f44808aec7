"""The subjects of the Separability page, whose states are read and patched, and their requests in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ivx.analyses import defaults
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.charts.palette import Palette
from ivx.models.registry import CHECKPOINTS, embedded
from ivx.request import BaseRequest
from ivx.tasks.way import Way
from ivx.ui.kit import checkpoints, choices, session
from ivx.ui.kit.asking import fields_of

COMPONENTS = dict(zip(defaults.COMPONENTS, ("stream", "attention", "MLP"), strict=True))
SOURCES = {"t_inst": "T_inst", "keyword": "keyword"}
APART = {"all": "all tasks at once", "pairs": "pair by pair"}
METRIC = "contrast"
FURTHER = "further"
"""Name of the request for what takes longer: t-SNE, and what runs made before it was measured do not tell."""
COLOURS = ("orange", "blue", "ink")
"""Palette colours of the main subject, and of those beside it."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint, and the token of its instructions that states are taken from: `t_inst` or `keyword`."""

    checkpoint: str
    source: str

    @property
    def name(self) -> str:
        """Its name on the page."""
        return f"{choices.short(self.checkpoint)}, {SOURCES[self.source]}"

    @property
    def key(self) -> str:
        """Its name in the address bar."""
        return f"{self.checkpoint}~{self.source}"

    def read(self, task: str, component: str, *, apart: str) -> SeparabilityRequest:
        """Request for what can be read of a component; a user's own file is probed by itself."""
        found = defaults.read(
            self.checkpoint, task, component, source=self.source, **checkpoints.loading(self.checkpoint)
        )
        return replace(found, pairs=apart == "pairs")

    def act(self, task: str, way: Way, *, put: str) -> EffectsRequest:
        """Request for what the same states do at one token of the bare prompt."""
        loading = checkpoints.loading(self.checkpoint)
        found = defaults.act(self.checkpoint, task, source=self.source, **fields_of(way), **loading)
        return replace(found, position=put)

    def erase(self, task: str, component: str, way: Way, *, put: str) -> ErasureRequest:
        """Request for what they do without the part that tells tasks apart."""
        return ErasureRequest(
            self.checkpoint,
            task,
            component=component,
            source_token=self.source,
            position=put,
            tasks=defaults.apart(task),
            wordings=defaults.WORDINGS,
            samples=defaults.SAMPLES,
            **fields_of(way),
            **checkpoints.loading(self.checkpoint),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Queries:
    """What the controls say: the subject first, then those beside it."""

    subjects: tuple[Subject, ...]
    task: str
    component: str
    apart: str
    way: Way
    put: str

    @property
    def main(self) -> Subject:
        """The subject whose layers are shown."""
        return self.subjects[0]


def others(subject: Subject) -> list[Subject]:
    """What can stand beside a subject: its family's checkpoints, and the other token of its own."""
    known = embedded(subject.checkpoint)
    family = known.family if known else ""
    names = [one.name for one in CHECKPOINTS if one.family == family] or [subject.checkpoint]
    every = [Subject(name, source) for name in names for source in SOURCES]
    return [other for other in every if other != subject]


def beside_at_first(subject: Subject) -> list[Subject]:
    """The subjects that stand beside one by default.

    The twin, at the token where it can be read and does not act, and at the one where it acts; beside the twin, the
    checkpoint that it is a twin of.
    """
    known = embedded(subject.checkpoint)
    if known is None or known.planted:
        return []
    if subject.checkpoint == defaults.TWIN:
        other = "keyword" if subject.source == "t_inst" else "t_inst"
        return [Subject(defaults.FIRST[0], subject.source), Subject(defaults.TWIN, other)]
    return [Subject(*twin) for twin in defaults.SUBJECTS[1:]]


def coloured(subjects: list[Subject], p: Palette) -> list[tuple[str, str]]:
    """The series of the headline: name and colour."""
    return [(subject.name, getattr(p, colour)) for subject, colour in zip(subjects, COLOURS, strict=False)]


def stages(
    subjects: list[Subject],
    task: str,
    component: str,
    *,
    apart: str,
    way: Way,
    put: str = "first",
    further: bool = False,
) -> list[dict[str, BaseRequest]]:
    """The requests in order: for the main subject, for those beside it, then for the other components.

    `put` is the token of the bare prompt that states are copied onto. t-SNE, and what stands beside it in newer
    runs, is asked for where `further` is.
    """
    first, *beside = subjects
    found: list[dict[str, BaseRequest]] = [
        {acts(first): first.act(task, way, put=put), reads(first, component): first.read(task, component, apart=apart)}
    ]
    if further:
        found.append({FURTHER: replace(first.read(task, component, apart=apart), projections=("tsne",))})
    for other in beside:
        probed = other.read(task, component, apart=apart)
        found.append({acts(other): other.act(task, way, put=put), reads(other, component): probed})
    for subject in subjects:
        rest = [c for c in COMPONENTS if c != component]
        found.append({reads(subject, c): subject.read(task, c, apart=apart) for c in rest})
    return found


def due(wanted: list[dict[str, BaseRequest]]) -> dict[str, BaseRequest]:
    """The requests of the stages that ended and of the first that did not: each starts when those before it end."""
    found: dict[str, BaseRequest] = {}
    for stage in wanted:
        found |= stage
        jobs = session.jobs(
            stage, compute=[name for name, one in stage.items() if embedded(one.checkpoint) is not None]
        )
        if not all(job is not None and job.view().state in ("done", "refused", "failed") for job in jobs.values()):
            break
    return found


def reads(subject: Subject, component: str) -> str:
    """Name of a request for what can be read."""
    return f"{subject.key} {component}"


def acts(subject: Subject) -> str:
    """Name of a request for what acts."""
    return subject.key
