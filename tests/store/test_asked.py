"""A run whose documents are damaged is asked for again: it is whole once more, and no row that is there is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ivx
from ivx.jobs.compute import answered, result_of
from ivx.models.load import load
from ivx.store import documents
from ivx.store.store import Store
from tests.support.stores import KINDS, damage

WAYS: list[tuple[str, Callable[[str], bytes]]] = [
    ("no object", lambda place: documents.seal([1], place)),
    (
        "another run's",
        lambda place: documents.seal({"asked": {"kind": "effects"}, "created": 1.0}, "f" * 12 + "/asked"),
    ),
    ("not UTF-8", lambda place: b"\xff\xfe" * 50),
    ("deep JSON", lambda place: b"[" * 100_000),
    ("deep JSON under its seal", lambda place: _sealed(b"[" * 100_000, place)),
    ("numbers without end", lambda place: _sealed(b"9" * 5_000, place)),
    ("NULs", lambda place: b"\0" * 100),
    *((how, lambda place: b"") for how in KINDS),
]


def _sealed(text: bytes, place: str) -> bytes:
    value = documents.seal("text", place)
    head = value[:10]
    return head + documents._hash(text, place) + b'","value":' + text + b"}\n"


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("asked") / "store"
    request = ivx.effects("tiny-sft", "animal/colour", samples=2).request
    return root, answered(Store(root), request, load=lambda: load("tiny-sft"))


@pytest.mark.parametrize("document", ["asked", "context", "receipt"])
@pytest.mark.parametrize("how, data", WAYS, ids=[how for how, _ in WAYS])
def test_a_damaged_document_is_written_again(
    computed: tuple[Path, Any], document: str, how: str, data: Callable[[str], bytes]
) -> None:
    root, whole = computed
    path = root / "runs" / whole.run_id / f"{document}.json"
    if how in KINDS:
        damage(path, how)
    else:
        path.write_bytes(data(f"{whole.run_id}/{document}"))
    store = Store(root)
    run = store.find(whole.run_id)
    assert run is not None and result_of(run) is None
    if how not in ("deleted", "no object"):
        assert any(path.name in told for told in store.notices())
    again = answered(store, whole.request, load=lambda: load("tiny-sft"))
    assert again.table.equals(whole.table)
    found = result_of(Store(root).find(whole.run_id))  # type: ignore[arg-type]
    assert found is not None and found.table.equals(whole.table)
