"""Where a task's vector was found to act on a checkpoint, looked up in the store: other requests are made there.

Nothing is computed, and nothing here loads torch.
"""

from __future__ import annotations

from ivx.analyses.place.found import At
from ivx.analyses.place.request import PlaceRequest
from ivx.errors import IvxError
from ivx.jobs.compute import result_of, stored
from ivx.store.store import Store

KEY = "place"
"""Of what the index keeps: places by run."""


def place_of(checkpoint: str, task: str, *, adapter: str | None = None, store: Store | None = None) -> At | None:
    """The place that was found for a task on a checkpoint; None where none was looked for, or there is none.

    The default search counts, where it was run or came with ivx; else the newest one of all tokens and layers.

    Args:
        store: where to look (default: that of `IVX_CACHE`, or `cache/`).
    """
    store = store or Store()
    default = PlaceRequest(checkpoint, task, adapter=adapter)
    try:
        found = stored(store, default)
    except IvxError:  # its files are not here; its runs may be
        found = None
    if found is not None:
        return _at(store, found.run_id)
    about = (checkpoint, task, adapter, "all", "all")
    entries = [e for e in store.entries() if e.kind == PlaceRequest.kind and e.seconds is not None]
    for entry in sorted(entries, key=lambda e: -e.created):
        asked = entry.asked.get("request", {})
        if tuple(asked.get(name) for name in ("checkpoint", "task", "adapter", "source_token", "position")) == about:
            return _at(store, entry.run)
    return None


def _at(store: Store, run_id: str) -> At | None:
    """The place that a run found, remembered in the index: judging its rows takes longer than a page should wait."""
    key = f"{KEY}/{run_id}"
    match store.get(key):
        case {"at": None}:
            return None
        case {"at": [str(source), str(position), int(layer), int(first), int(last)]}:
            return At(source, position, layer, first, last)
    run = store.find(run_id)
    found = None if run is None else result_of(run)
    at = None if found is None else found.at
    if found is not None:
        store.put(key, {"at": None if at is None else list(at)})
    return at
