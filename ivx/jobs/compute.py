"""Computing: a request is answered from the store, or on a loaded model with its rows stored as they finish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivx.analyses.registry import analysis_of, context, named_by, restored
from ivx.errors import IvxError
from ivx.formats.receipts import receipt_read
from ivx.jobs import identity, shipped
from ivx.jobs.shipped import CONTEXT
from ivx.models import files, fingerprint, library, registry
from ivx.models.contents import contents_of
from ivx.models.paths import parts
from ivx.patching import gate
from ivx.request import BaseRequest, LiveRequest
from ivx.store.run import Run
from ivx.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from ivx.engine.plan.forecast import Counted, Forecast
    from ivx.models.model import Model

BEGUN = "begun"
"""The document of a run that names the small run whose rows it began with."""
MADE_BY = ("dtype", "device", "weights", "engine", "versions")
"""Fields of a receipt that two runs agree in whose rows can stand in one table."""
Progress = Callable[[Any, int, int], None]


class Busy(Exception):
    """Another process is computing this run."""


@dataclass(frozen=True)
class Unstored(LiveRequest):
    """A request whose result is not stored, such as texts that somebody tries one after another."""

    of: BaseRequest

    @classmethod
    def request(cls, of: BaseRequest) -> Unstored:
        """Wrap a request, on its own checkpoint, loaded as it asks."""
        return cls(of.checkpoint, of, **of.loading)

    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> Any:
        return analysis_of(self.of.kind).compute(model, self.of, on_progress=lambda *_: beat(), beat=beat)


@dataclass(frozen=True)
class Cost(LiveRequest):
    """What a request will cost on the checkpoint that it names, told before it runs; None where that is not known."""

    of: BaseRequest

    @classmethod
    def request(cls, of: BaseRequest) -> Cost:
        """Wrap a request."""
        return cls(of.checkpoint, of, **of.loading)

    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> Forecast | Counted | None:
        return analysis_of(self.of.kind).steps.cost(model, self.of)


def stored(store: Store, request: BaseRequest) -> Any | None:
    """The result of a request that was computed before; None where there is none. Reads no weights.

    Raises:
        IvxError: the checkpoint or the task cannot be found.
    """
    run_id = id_of(store, request)
    run = shipped.found(store, run_id)
    return None if run is None else result_of(run)


def id_of(store: Store, request: BaseRequest) -> str:
    """The run id of a request, computed or not. Reads no weights.

    Raises:
        IvxError: the checkpoint or the task cannot be found.
    """
    known = registry.embedded(request.checkpoint)
    collection = known.collection if known else "english"
    subject = request.subject(collection, lambda: _tokenizer(request.checkpoint))
    return request.run_id(fingerprint_of(store, request.checkpoint, adapter=request.adapter), subject)


def result_of(run: Run) -> Any | None:
    """The result that a run holds; None unless it is complete and whole.

    Raises:
        IvxError: what was kept is nonsense.
    """
    receipt, kept, asked = run.receipt, run.kept(CONTEXT), run.asked
    # What was asked may be lost to damage: to ask again writes it again, and computes nothing that is still there.
    if receipt is None or not isinstance(kept, dict) or not asked:
        return None
    receipt_read(receipt)  # a right seal says that it is whole, not that its fields are what pages take them for
    table = run.table(named_by(asked).saved.key)
    return None if table is None else restored(asked, kept, table, receipt)


def computed(
    store: Store,
    model: Model,
    request: BaseRequest,
    *,
    on_progress: Progress | None = None,
    beat: Callable[[], None] = lambda: None,
    between: Callable[[], None] = lambda: None,
) -> Any:
    """Compute a request; rows are stored as they finish, and those stored by an earlier start, or by a small run that
    has them in common, are not computed again.

    What `on_progress`, `beat` or `between` raises ends the work. `beat` is called where there is nothing new to show,
    and before anything is stored; `between`, where new rows have been stored and others are to come.

    Raises:
        Busy: another process is computing it.
    """
    analysis = analysis_of(request.kind)
    asked = {"kind": request.kind, "request": asdict(request), "checkpoint": model.identity}
    subject = request.subject(model.collection, lambda: model.tokenizer)
    run = store.begin(request.run_id(model.fingerprint, subject), asked=asked)
    with run.lock() as mine:
        if not mine:
            raise Busy
        known = run.table(analysis.saved.key)
        kept = known.num_rows if known is not None else 0
        if known is None and (common := _shared(store, model, request)) is not None:
            known, begun = common
            run.keep(BEGUN, {"begun_by": begun})

        def keep(result: Any) -> bool:
            nonlocal kept
            beat()  # who was given up while it was away stores nothing
            new = result.table.num_rows > kept
            if new:
                run.append(result.table.slice(kept))
                kept = result.table.num_rows
            return new

        def progress(result: Any, done: int, total: int) -> None:
            new = keep(result)
            if on_progress is not None:
                on_progress(result, done, total)
            if new and done < total:
                between()

        given = [needed(store, run_id) for run_id in analysis.needs(request)]
        found = analysis.compute(model, request, on_progress=progress, known=known, beat=beat, given=given)
        keep(found)
        run.keep(CONTEXT, context(found))
        run.complete(
            {**found.receipt, **(run.kept(BEGUN) or {}), "resumed_rows": 0 if known is None else known.num_rows}
        )
    return found


def _shared(store: Store, model: Model, request: BaseRequest) -> tuple[pa.Table, str] | None:
    """The rows that a request has in common with the newest small run made here, by the same versions; and that run."""
    if getattr(request, "samples", 0) <= gate.SMALL:
        return None
    steps, receipt = None, dict[str, Any]()
    for run in sorted(store.of_kind(request.kind), key=lambda one: one.created, reverse=True):
        asked, told = run.asked, run.asked.get("request", {})
        alike = told.get("task") == getattr(request, "task", "") and told.get("samples", gate.SMALL + 1) <= gate.SMALL
        same = asked.get("checkpoint", {}).get("fingerprint") == model.fingerprint
        if not (alike and same) or asked.get("imported") or shipped.is_shipped(run.id):
            continue
        found = result_of(run)
        if found is None:
            continue
        if steps is None:
            from ivx.patching.prepare import receipt_of

            steps, receipt = analysis_of(request.kind).steps, receipt_of(model, request, "")
        if any(found.receipt.get(name) != receipt.get(name) for name in MADE_BY):
            continue
        rows = steps.shared(model, request, found)
        if rows is not None and rows.num_rows:
            return rows, run.id
    return None


def answered(
    store: Store, request: BaseRequest, *, load: Callable[[], Model], on_progress: Progress | None = None
) -> Any:
    """The result of a request: from the store, or computed on what `load` returns, and stored.

    Raises:
        IvxError: the checkpoint or the task cannot be found or measured; another process is computing this very run.
    """
    found = stored(store, request)
    if found is not None:
        return found
    try:
        return computed(store, load(), request, on_progress=on_progress)
    except Busy:
        raise IvxError("another process is computing this very run: wait for it, then ask again") from None


def needed(store: Store, run_id: str) -> Any:
    """The result of a run that another one needs; raises `IvxError` where it is not there."""
    run = store.find(run_id)
    found = None if run is None else result_of(run)
    if found is None:
        raise IvxError(f"run {run_id} is not complete in the store: compute it first")
    return found


def _tokenizer(checkpoint: str) -> Any:
    known = identity.kept(checkpoint)
    if known is not None:
        return known
    return library.tokenizer(files.locate(checkpoint), name=checkpoint)


def fingerprint_of(store: Store, checkpoint: str, *, adapter: str | None = None) -> str:
    """Fingerprint of a checkpoint with its adapter, from their files, or as it came with ivx; raises `IvxError` where
    it is neither here nor known."""
    known = None if adapter else identity.kept(checkpoint)
    if known is not None:
        return known.fingerprint
    base = _of_files(store, files.locate(checkpoint))
    merged = adapter or parts(checkpoint)[1]
    return fingerprint.with_adapter(base, Path(merged).expanduser()) if merged else base


def _of_files(store: Store, folder: Path) -> str:
    """Fingerprint of a directory, cached in the store until a file that is read of it changes: hashing gigabytes takes
    time. Whoever sets a file's time back cannot set back when it was touched."""
    held = contents_of(folder, name=folder.name)
    seen = [[own, str(file.place), *file[1:]] for own, file in held.files.items()]
    key = f"fingerprint/{folder.resolve()}"
    match store.get(key):
        case {"seen": before, "fingerprint": str(found)} if before == seen:
            return found
    found = fingerprint.of_directory(folder)
    store.put(key, {"seen": seen, "fingerprint": found})
    return found
