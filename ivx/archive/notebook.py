"""The notebook of an archive: plain JSON of nbformat 4, which reads the files beside it and draws the figure again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LOAD = """\
import ivx

found = ivx.read(".")  # the folder with these files; the archive's own path does as well
found.receipt"""
_ROWS = "found.table.slice(0, 5).to_pylist()"


def notebook(run: str, *, chart: Mapping[str, str]) -> str:
    """The notebook's text.

    Args:
        run: the run id.
        chart: what the result's `chart` is called with, such as `{"metric": "contrast"}`.
    """
    told = ", ".join(f"{name}={value!r}" for name, value in chart.items())
    cells = [
        _cell("markdown", f"# ivx run `{run}`\n\nRead from the files beside this notebook; the model is not needed."),
        _cell("code", _LOAD),
        _cell("code", f"chart = found.chart({told})\nchart"),
        _cell("code", _ROWS),
    ]
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    python = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": python, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
