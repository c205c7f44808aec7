"""Checks of rows and receipts that come from elsewhere: accepted only if a sweep could have written them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ivx.engine.address import KEYS_VALUES
from ivx.engine.schema import KEY
from ivx.errors import AddressError
from ivx.formats.checks import IDS, LARGEST, refuse, whole
from ivx.formats.receipts import receipt_read
from ivx.numeral import index_of
from ivx.patching.positions import check_named
from ivx.patching.roles import ROLES
from ivx.patching.table import NUMBERS
from ivx.tasks.samples import Samples


class Swept(Protocol):
    """A result whose rows a sweep returned."""

    @property
    def table(self) -> pa.Table: ...
    @property
    def samples(self) -> Samples: ...
    @property
    def receipt(self) -> dict[str, Any]: ...


def check_sweep(
    found: Swept, *, sites: Sequence[str], roles: Sequence[str] = ROLES, parts: Sequence[Collection[int]] = ()
) -> None:
    """Refuse a result whose rows and receipt are not what sweeps of these sites return; raises `IvxError`.

    Args:
        parts: the samples of sweeps over fewer than all.
    """
    check_receipt(found.receipt, rows=found.table.num_rows, samples=len(found.samples.rows))
    check_paired(found.receipt)
    table, n = found.table, len(found.samples.rows)
    # An undefined row holds no number at all; a divergence may be lacking by itself.
    there = pc.is_valid(table["logit"])
    for name in table.column_names:
        if name not in (*NUMBERS, "top_ids", "top_logits") and table[name].null_count:
            refuse(f"rows, column {name}", "a value in every row")
    for name in ("contrast", "logsumexp", "rank", "top_ids", "top_logits"):
        if not pc.all(pc.equal(pc.is_valid(table[name]), there), min_count=0).as_py():
            refuse(f"rows, column {name}", "a value wherever there is a logit")
    for name in ("logit", "contrast", "logsumexp", "kl_target", "kl_reference"):
        bounded(table[name], f"rows, column {name}")
    bounded(table["sample"], "rows, column sample", low=0, high=n - 1)
    bounded(table["rank"], "rows, column rank", low=1, high=IDS - 1)
    for name, allowed in (("role", roles), ("site", (*sites, ""))):
        strange = set(pc.unique(table[name]).to_pylist()) - set(allowed)
        if strange:
            refuse(f"rows, column {name}", f"one of {', '.join(filter(None, allowed))}")
    if KEYS_VALUES not in sites:
        _check_patches(table)
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    _check_samples(table, [set(range(n)), *map(set, parts)])
    lengths = (pc.list_value_length(table[name]) for name in ("top_ids", "top_logits"))
    if not pc.all(pc.equal(*lengths), min_count=0).as_py():
        refuse("rows, column top_ids", "as many token ids as logits")
    for name, low, high in (("top_ids", 0, IDS - 1), ("top_logits", -LARGEST, LARGEST)):
        values = pc.list_flatten(table[name])
        if values.null_count:
            refuse(f"rows, column {name}", "no gap in a list")
        bounded(values, f"rows, column {name}", low=low, high=high)


def _check_samples(table: pa.Table, whole: Sequence[set[int]]) -> None:
    """Refuse a patch that lacks a sample of its sweep, and rows without an unpatched one."""
    every = table.group_by(["role", "site", "patch"]).aggregate([("sample", "list")])
    for held in every["sample_list"].to_pylist():
        if set(held) not in whole:
            refuse("rows", "every sample of each patch")
    named = every.select(["role", "site", "patch"]).to_pylist()
    if any(one["patch"] and not one["site"] for one in named):
        refuse("rows, column site", "that of each patch")
    if all(one["patch"] for one in named):
        refuse("rows", "those without a patch")


def _check_patches(table: pa.Table) -> None:
    patched = table.filter(pc.not_equal(table["patch"], ""))
    for part in pc.unique(pc.list_flatten(pc.split_pattern(pc.unique(patched["patch"]), ","))).to_pylist():
        try:
            check_named(part)
        except AddressError:
            refuse("rows, column patch", "addresses")


def bounded(values: pa.ChunkedArray, what: str, *, low: float = -LARGEST, high: float = LARGEST) -> None:
    """Refuse values out of bounds; NaN always is, null is let through."""
    if not pc.all(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)), min_count=0).as_py():
        refuse(what, f"a finite number from {low:,.0f} to {high:,.0f}")


def check_layers(table: pa.Table, *, site: str, layers: int) -> None:
    """Refuse patches that are not of this site, in one of so many layers; raises `IvxError`."""
    for patch in pc.unique(table["patch"]).to_pylist():
        name, _, layer = patch.partition("@")[0].partition(".")
        if patch and not (name == site and index_of(layer, below=layers) is not None):
            refuse("rows, column patch", f"addresses of {site} in {layers} layers")


def check_paired(told: dict[str, Any]) -> None:
    """Refuse a receipt that does not name the task that its own was held against; raises `IvxError`."""
    if not told.get("contrast"):
        refuse("receipt, contrast", "the name of the other task")


def check_receipt(told: dict[str, Any], *, rows: int, samples: int) -> None:
    """Refuse a receipt that lacks what every one has, or counts other rows or samples; raises `IvxError`."""
    receipt_read(told)
    for name, count in {"rows": rows, "samples": samples}.items():
        whole(told[name], f"receipt, {name}", count, count)
