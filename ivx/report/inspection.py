"""Inspection: everything ivx has to say of one checkpoint, from the runs that are there, and from those it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ivx.analyses import defaults
from ivx.analyses.base import Result
from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.family import family_of
from ivx.analyses.place.found import At
from ivx.analyses.place.result import Place
from ivx.analyses.registry import analysis_of
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.jobs.compute import computed, fingerprint_of, result_of, stored
from ivx.jobs.recommendation import recommended
from ivx.models.registry import embedded
from ivx.report.contents import Contents, Section
from ivx.report.parts import EVERY, PARTS, USUAL, Part, asked
from ivx.request import WAY, BaseRequest
from ivx.store.store import Store
from ivx.tasks.way import Way


class Inspection(Contents):
    """The same, to be written."""

    def html(self) -> str:
        """One page with everything in it, which asks nothing of any other place."""
        from ivx.report.page import page_of

        return page_of(self)

    def latex(self) -> str:
        """Tables as a document of LaTeX with booktabs, to be compiled or copied from."""
        from ivx.report.latex import document_of

        return document_of(self)

    def save(self, path: Path | str) -> None:
        """Write FILE.html or FILE.tex; raises `IvxError` for another name, or where it cannot be written."""
        path = Path(path)
        check_name(path)
        try:
            path.write_text(self.html() if path.suffix == ".html" else self.latex(), encoding="utf-8")
        except OSError as error:
            raise IvxError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error


def check_name(path: Path, *endings: str) -> None:
    """Refuse a file whose name says no format of a report."""
    endings = endings or (".html", ".tex")
    if path.suffix not in endings:
        raise IvxError(f"{path} is no name of this file: let it end in {' or '.join(endings)}")


def inspect(
    checkpoint: str,
    task: str = "",
    *,
    quick: bool = False,
    compute: bool = True,
    parts: Sequence[str] = EVERY,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    store: Store | None = None,
    may_see: Callable[[str], bool] = lambda run: True,
    on_step: Callable[[str], None] | None = None,
) -> Inspection:
    """Everything of one checkpoint: behaviour, place, maps, probes, pairs, pathways, checks and receipts.

    A run that is stored is taken, the one of most samples first; what is not stored is computed and stored.

    Args:
        task: by default the one that the model follows most.
        quick: compute what is missing on few samples.
        compute: whether what is missing is computed; else it is said to be missing.
        parts: which of `behaviour`, `place`, `maps`, `probes`, `pairs` and `pathways`.
        store: where runs are (default: that of `IVX_CACHE`, or `cache/`).
        may_see: whether a stored run of this id may be shown.
        on_step: told, in a sentence, what comes next and what it will take.

    Raises:
        IvxError: the checkpoint cannot be found; a part that cannot be had says so in its place.
    """
    known = {part.name for part in PARTS}
    if wrong := [name for name in parts if name not in known]:
        raise IvxError(f"there is no part {wrong[0]!r:.40}: choose of {', '.join(known)}")
    loading = {"dtype": dtype, "device": device, "adapter": adapter, "weights": weights}
    work = _Work(checkpoint, task, quick, loading, store or Store(), on_step or (lambda said: None))
    work.compute, work.may_see = compute, may_see
    return work.done([part for part in PARTS if part.name in parts])


class _Work:
    """An inspection under way."""

    def __init__(
        self,
        checkpoint: str,
        task: str,
        quick: bool,
        loading: dict[str, Any],
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        self.checkpoint, self.task, self.quick, self.loading = checkpoint, task or _usual(checkpoint), quick, loading
        self.store, self.tell, self.at = store, tell, USUAL
        self.compute = True
        self.may_see: Callable[[str], bool] = lambda run: True
        self.fingerprint = fingerprint_of(store, checkpoint, adapter=loading["adapter"])
        self.way: dict[str, Any] = {}
        self._loaded = False

    @cached_property
    def model(self) -> Any:
        """The checkpoint, loaded where something is to be computed."""
        from ivx.models.load import load

        self.tell(f"loading {self.checkpoint}")
        self._loaded = True
        return load(self.checkpoint, **self.loading)

    def done(self, parts: Sequence[Part]) -> Inspection:
        """Every part, one after another: each may say what the next is to ask."""
        began = time.perf_counter()
        self._bring()
        if self.compute:
            self._foretell(parts)
        sections = []
        for part in parts:
            sections.append(section := self._section(part))
            self._learn(section.found)
        receipts = [one.found.receipt for one in sections if one.found is not None]
        checks, now = self._checks(receipts)
        return Inspection(
            self.checkpoint,
            self.task or defaults.QUICK_TASKS[0],
            tuple(sections),
            checks,
            now,
            self.fingerprint,
            self.quick,
            round(time.perf_counter() - began, 1),
        )

    def _bring(self) -> None:
        """Have runs that come with ivx in the store, where this checkpoint has some."""
        family = family_of(self.checkpoint)
        if family is None:
            return
        for request in family.before():
            found = self._looked_up(request)
            if isinstance(found, Place) and request.checkpoint == family.subject and found.at is not None:
                for other in family.there(found.at):
                    self._looked_up(other)

    def _looked_up(self, request: BaseRequest) -> Any:
        try:
            return stored(self.store, request) if request.checkpoint == self.checkpoint else None
        except IvxError:
            return None

    def _asked(self, part: Part, *, quick: bool) -> BaseRequest:
        task = self.task or defaults.QUICK_TASKS[0]
        return asked(part, self.checkpoint, task, at=self.at, way=self.way, quick=quick, loading=self.loading)

    def _known(self, part: Part) -> Any:
        """The stored result that answers a part best: of its fullest kind, with most samples."""
        found: list[tuple[int, int, Any]] = []
        wholes = [self._asked(part, quick=quick) for quick in (False, True)]
        if part.name == "pairs":
            wholes.append(defaults.interactions(self.checkpoint, self.task or defaults.QUICK_TASKS[0], **self.loading))
        for whole in wholes:  # a run that comes with ivx is in the store once it was asked for
            self._looked_up(whole)
        for rank, kind in enumerate(part.kinds):
            for run in self.store.of_kind(kind):
                told = run.asked.get("request", {})
                same = run.asked.get("checkpoint", {}).get("fingerprint") == self.fingerprint
                hidden = run.asked.get("imported") or not self.may_see(run.id)
                if not same or hidden or not self._fits(told, wholes[0]):
                    continue
                if (one := result_of(run)) is not None:
                    found.append((-rank, _size(one), one))
        return max(found, key=lambda each: each[:2], default=(0, 0, None))[2]

    def _fits(self, told: dict[str, Any], whole: BaseRequest) -> bool:
        """Whether a run asked this task in this way."""
        if "task" in told:
            usual = Way()  # what a run made before these fields does not name
            asked = {name: told.get(name, getattr(usual, _FIELDS.get(name, name))) for name in WAY}
            alike = all(asked[name] == getattr(whole, name) for name in WAY if name != "spelling")
            stream = STREAM in told.get("sites", [STREAM]) and told.get("direction", "denoise") == "denoise"
            return alike and stream and told["task"] == (self.task or defaults.QUICK_TASKS[0])
        return STREAM in told.get("components", [STREAM])

    def _section(self, part: Part) -> Section:
        began = time.perf_counter()
        try:
            found, origin = self._known(part), "stored"
            if found is None and not self.compute:
                return Section(part, None, "", "nothing of it is stored yet")
            if found is None:
                request, origin = self._asked(part, quick=self.quick), "computed"
                self.tell(f"{part.heading.lower()}: {self._cost(request) or 'how long it takes is not forecast'}")
                found = computed(self.store, self.model, request)
            return Section(part, found, origin, seconds=round(time.perf_counter() - began, 1))
        except IvxError as error:
            return Section(part, None, "", str(error), round(time.perf_counter() - began, 1))

    def _cost(self, request: BaseRequest) -> str:
        try:
            cost = analysis_of(request.kind).steps.cost(self.model, request)
        except IvxError:
            return ""
        return "" if cost is None else cost.told

    def _foretell(self, parts: Sequence[Part]) -> None:
        """Say how long all of it will take, before any of it begins: of the task and place that are known so far."""
        missing = [part for part in parts if self._known(part) is None]
        if not missing:
            self.tell("every part is stored: nothing is to be computed")
            return
        seconds, unknown = 0.0, []
        for part in missing:
            try:
                cost: Any = analysis_of(part.kinds[-1]).steps.cost(self.model, self._asked(part, quick=self.quick))
            except IvxError:
                cost = None
            if (own := getattr(cost, "seconds", None)) is None:
                unknown.append(part.name)
            else:
                seconds += own
        about = f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"
        besides = f", and {', '.join(unknown)}, whose time is not forecast" if unknown else ""
        told = ", ".join(part.name for part in missing if part.name not in unknown) or "nothing that is forecast"
        self.tell(f"about {about} on this machine for {told}{besides}; the rest is stored")

    def _learn(self, found: Result[Any] | None) -> None:
        """What a result says of how to ask the next part."""
        if isinstance(found, Behaviour):
            best: dict[str, tuple[bool, float]] = {}
            for (task, _), cell in found.cells.items():
                own = cell.follows, cell.following.difference.value
                best[task] = max(best.get(task, own), own)
            self.task = self.task or max(best, key=lambda task: best[task], default=defaults.QUICK_TASKS[0])
        if isinstance(found, Behaviour) or not self.way:
            advice = recommended(self.store, self.checkpoint, self.task, may_see=self.may_see) if self.task else None
            if advice is not None:
                self.way = {name: getattr(advice.way, _FIELDS.get(name, name)) for name in WAY}
        if isinstance(found, Place) and (said := found.found()) is not None:
            self.at = At(*said.at)

    def _checks(self, receipts: Sequence[dict[str, Any]]) -> tuple[tuple[dict[str, Any], ...], bool]:
        """The doctor's checks: of the model in memory, else those that the newest run was computed behind."""
        if not receipts and not self.compute:
            return (), False
        if self._loaded or not receipts:
            from ivx.models.doctor import report_of

            return tuple(asdict(check) for check in report_of(self.model).checks), True
        return tuple(receipts[0]["checks"]), False


_FIELDS = {"target_format": "form"}
"""Fields of a request that a way of asking calls otherwise."""


def _size(found: Result[Any]) -> int:
    """How much a run rests on: its samples; of behaviour all its texts."""
    if isinstance(found, Behaviour):
        return found.table.num_rows
    told = {field.name: getattr(found.request, field.name) for field in fields(found.request)}
    return int(found.receipt.get("samples", told.get("samples", 0)))


def _usual(checkpoint: str) -> str:
    """The task that runs which come with ivx are about; empty where none does."""
    if embedded(checkpoint) is not None:
        return defaults.SHIPPED[0]
    family = family_of(checkpoint)
    return "" if family is None else family.tasks[0]
