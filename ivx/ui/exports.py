"""The export of a result: archive, tables, figures, and what to write to compute it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import streamlit as st

from ivx.runs import archive, rows, sheet
from ivx.runs.request import Request

COMMANDS = ("effects", "interactions")
"""Kinds that the command line knows."""

Offered = tuple[str, str, Callable[[], str | bytes]]
"""A label, how the file's name ends, and what makes its content."""


def buttons(name: str, offered: Sequence[Offered]) -> None:
    """A button a file; each is made when it is asked for."""
    for label, ending, content in offered:
        st.download_button(label, content, name + ending, on_click="ignore")


def offer(result: Any, metric: str) -> None:
    """A button that opens what can be taken away; each file is made when it is asked for."""
    with st.popover("Export", width="stretch"):
        name = f"ivx-{result.run_id}"
        offered: list[Offered] = [
            ("Zip: rows, figures, receipt, notebook", ".zip", lambda: archive.of_result(result, metric=metric)),
            ("Parquet, all rows", ".parquet", lambda: rows.parquet(result.table, result.receipt)),
            ("CSV, all rows", ".csv", lambda: sheet.csv(result.table)),
            *((f"SVG, {part} map", f"-{part}.svg", partial(_svg, result, part, metric)) for part in _figures(result)),
        ]
        buttons(name, offered)
        st.code(in_python(result.request, metric), language="python", wrap_lines=True)
        if result.request.kind in COMMANDS:
            st.code(in_shell(result.request, metric), language="bash", wrap_lines=True)


def in_python(request: Request, metric: str) -> str:
    """The Python that computes a request again."""
    told = "".join(f", {name}={value!r}" for name, value in _told(request).items())
    read = f'found.cells("resid_post", {metric!r})' if request.kind == "effects" else f"found.chart({metric!r})"
    return f"import ivx\nfound = ivx.{request.kind}({request.checkpoint!r}, {request.task!r}{told})\n{read}"


def in_shell(request: Request, metric: str) -> str:
    """The command that computes a request again."""
    told = "".join(
        f" --{name.replace('_', '-')} {','.join(value) if isinstance(value, tuple) else value}"
        for name, value in _told(request).items()
    )
    return (
        f"python -m ivx {request.kind} --checkpoint {request.checkpoint} --task {request.task}{told} --metric {metric}"
    )


def _told(request: Request) -> dict[str, Any]:
    """What must be named beside checkpoint and task: the sites and samples, and whatever is not the default."""
    always = ("sites", "samples")
    values = {field.name: (getattr(request, field.name), field.default) for field in fields(request)}
    return {
        name: value
        for name, (value, default) in values.items()
        if name not in ("checkpoint", "task") and (name in always or value != default)
    }


def _figures(result: Any) -> list[str]:
    return list(result.maps) if result.request.kind == "effects" else ["pairs"]


def _svg(result: Any, part: str, metric: str) -> str:
    import vl_convert  # late: it takes a moment, and nobody has asked for a figure yet

    return str(vl_convert.vegalite_to_svg(result.figures(metric)[part], allowed_base_urls=[]))
