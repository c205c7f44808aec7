"""What lies behind an evidence card: all samples, a link to the view, and the Python that computes it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st

from ivx.ui.kit import exports


class Cell(NamedTuple):
    """A cell by its address; `site` is empty for a pair."""

    site: str
    patch: str


def show(result: Any, detail: Sequence[dict[str, Any]], metric: str, *, token: Any, link: str, cell: Cell) -> None:
    """Three links under a card; each opens what it names."""
    one, two, three = st.columns([0.8, 0.9, 1.25], gap="small")
    with one.popover("Link", type="tertiary"):
        st.caption("This view, in any session of this server.")
        st.code(link, language=None, wrap_lines=True)
    with two.popover("Python", type="tertiary"):
        st.code(python(result, metric, cell), language="python", wrap_lines=True)
    if detail:
        with three.popover(f"All {len(detail)} samples", type="tertiary"):
            st.dataframe([_row(sample, token) for sample in detail], hide_index=True, height=320, width=720)


def python(result: Any, metric: str, cell: Cell) -> str:
    """What computes this one cell again."""
    request = result.request
    if request.kind == "game":
        low, high = cell.patch.split(",")
        read = f"found.interactions({metric!r})[{low}, {high}]"
    else:
        given = f"{cell.site!r}, {metric!r}" if cell.site else repr(metric)
        read = f"next(cell for cell in found.cells({given}) if cell.patch == {cell.patch!r})"
    return f"{exports.computed_by(request)}\n{read}"


def _row(sample: dict[str, Any], token: Any) -> dict[str, Any]:
    return {
        "query": sample["query"],
        "answer": sample["answer"],
        "contrast": sample["contrast"],
        "effect": round(sample["effect"], 3),
        "before": token(sample["before"][0][0]),
        "after": token(sample["after"][0][0]),
        "instruction": sample["instruction"],
    }
