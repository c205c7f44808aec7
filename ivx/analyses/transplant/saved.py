"""A transplant apart from its rows: whose vectors they are, and of which site."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.transplant.result import Transplant
from ivx.formats.checks import text
from ivx.formats.samples import SAMPLES, layers_read, samples_read, samples_written

KEYS = (*SAMPLES, "donor", "component")


def written(found: Transplant) -> dict[str, Any]:
    """The samples, the donor and the site."""
    return {**samples_written(found.samples), "donor": found.donor, "component": found.component}


def read(request: TransplantRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Transplant:
    """The result; raises `IvxError`."""
    donor, component = text(told["donor"], "donor"), text(told["component"], "component")
    return Transplant(request, table, samples_read(told), layers_read(told), donor, component, receipt)
