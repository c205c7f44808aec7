"""What is asked: one list of queries, shown by demonstrations, shown with shuffled answers, and told by an instruction,
for the task and for the task that it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ivx.analyses.function.request import FEWEST, FunctionRequest
from ivx.analyses.function.result import halves
from ivx.errors import TaskError
from ivx.models.model import Model
from ivx.patching.prepare import prepare
from ivx.patching.roles import Runs
from ivx.patching.spelling import spelling_of
from ivx.patching.sweeping import instruction_of
from ivx.tasks import catalogue, demonstrations
from ivx.tasks.encoder import Encoder
from ivx.tasks.sample import Sample, Telling, sampled
from ivx.tasks.samples import Samples, build, paired
from ivx.tasks.task import Instruction, Pair
from ivx.tasks.way import Way


@dataclass(frozen=True)
class Asked:
    """The samples, of which the first half ranks heads and the rest measures.

    Attributes:
        samples: shown by demonstrations; `counter` by those of the contrast task, `unpaired` with shuffled answers.
        turned: the counter task's: the same queries, whose answer is the other's contrast.
        told: the same queries told by an instruction, and by the contrast task's (`counter`); None where the task has
            no wordings. No `counter` where the contrast task has none.
    """

    samples: Samples
    turned: Samples
    told: Samples | None

    @property
    def ranking(self) -> slice:
        """The samples that rank heads."""
        return halves(len(self.samples.rows))[0]

    @property
    def measured(self) -> slice:
        """The samples on which the sum is measured."""
        return halves(len(self.samples.rows))[1]

    def ranked(self, role: str) -> tuple[Samples, Runs]:
        """The samples of a ranking and its runs: heads take their mean over proper prompts in prompts that lack the
        task."""
        chosen = self.ranking
        if role == "counter":
            rows, lacking, proper = self.turned.rows, _told(self.turned.unpaired), _told(self.turned.rows)
        elif role == "instruction" and self.told is not None:
            rows, lacking, proper = self.samples.rows, [s.target for s in self.samples.rows], _told(self.told.rows)
        else:
            rows, lacking, proper = self.samples.rows, _told(self.samples.unpaired), _told(self.samples.rows)
        lacking, proper = lacking[chosen], proper[chosen]
        return Samples(rows[chosen], (), ()), Runs(role, proper, lacking, proper, means=proper)

    def stated(self, request: FunctionRequest) -> tuple[Samples, tuple[Runs, ...]]:
        """The measured samples and the runs of their task vectors: states of the demonstrations' last token."""
        rows, chosen = self.samples.rows[self.measured], self.measured
        targets, references = [s.target for s in rows], [s.instructed for s in rows]
        sources = {"state": self.samples.rows[chosen], "state control": self.samples.counter[chosen]}
        runs = (
            Runs(role, [instruction_of(request, s) for s in some], targets, references)
            for role, some in sources.items()
        )
        return Samples(rows, (), ()), tuple(runs)


def asked_of(model: Model, request: FunctionRequest) -> tuple[Asked, dict[str, Any]]:
    """The samples of a request, and its receipt.

    Raises:
        TaskError: there are too few.
    """
    samples, receipt = prepare(model, request, more=("counter", "unpaired"))
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    spelling = spelling_of(model, pair, request.way, samples=request.samples, seed=request.seed).spelling
    way = replace(request.way, spelling=spelling)
    told: Samples | None = None
    if pair.task.instructions:
        controls = ("counter",) if pair.contrast.instructions else ()
        plain = replace(way, demonstrations=0)
        told = build(pair, model.tokenizer, way=plain, samples=request.samples, seed=request.seed, controls=controls)
        mine, theirs = paired(samples, told)
        samples, told = _some(samples, mine), _some(told, theirs)
    n = len(samples.rows)
    if n < FEWEST:
        raise TaskError(f"{pair.task.name}: {n} samples are too few to rank heads on one half and measure on the other")
    receipt["samples"] = n
    shuffled = _shuffled_counter(
        pair, samples.rows, way, Encoder(model.tokenizer, whole=way.chats, system=way.system), seed=request.seed
    )
    turned = Samples(tuple(map(_turned, samples.counter)), (), (), unpaired=tuple(map(_turned, shuffled)))
    return Asked(samples, turned, told), receipt


def _told(rows: Sequence[Sample]) -> list[tuple[int, ...]]:
    return [sample.instructed for sample in rows]


def _some(samples: Samples, chosen: Sequence[int]) -> Samples:
    """Some of the samples, in this order."""
    beside = {
        name: tuple(some[k] for k in chosen) if (some := getattr(samples, name)) else ()
        for name in ("rows", "control", "counter", "unpaired")
    }
    return Samples(**beside, warnings=samples.warnings)


def _shuffled_counter(pair: Pair, rows: Sequence[Sample], way: Way, encoder: Encoder, *, seed: int) -> list[Sample]:
    """The counter task's demonstrations with shuffled answers: of the queries that the task's own are of."""
    found = []
    for row in rows:
        drawn = demonstrations.draw(
            pair.queries, count=way.demonstrations, without=row.query, seed=f"{pair.task.name} {row.query} {seed}"
        )
        shown = demonstrations.shown(pair.contrast, drawn, way=way, unpaired=True)
        telling = Telling(Instruction(shown.text, family="demonstrations"), (shown.dummy, pair.contrast))
        found.append(sampled(pair, telling, query=row.query, way=way, encoder=encoder))
    return found


def _turned(sample: Sample) -> Sample:
    """The sample with answer and contrast exchanged."""
    return replace(
        sample,
        answer=sample.contrast,
        contrast=sample.answer,
        answer_id=sample.contrast_id,
        contrast_id=sample.answer_id,
    )
