"""The export of a result: archive, tables, figures, and what to write to compute it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import streamlit as st

from ivx.runs import archive, rows, sheet
from ivx.runs.probing import SeparabilityRequest
from ivx.runs.request import BaseRequest

COMMANDS = ("effects", "interactions", "separability", "erasure")
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
            *((f"SVG, {part}", f"-{part}.svg", partial(_svg, result, part, metric)) for part in _figures(result)),
        ]
        buttons(name, offered)
        st.code(in_python(result.request, metric), language="python", wrap_lines=True)
        if result.request.kind in COMMANDS:
            st.code(in_shell(result.request, metric), language="bash", wrap_lines=True)


def in_python(request: BaseRequest, metric: str) -> str:
    """The Python that computes a request again."""
    told = "".join(f", {name}={value!r}" for name, value in _told(request).items())
    reads = {"effects": f'found.cells("resid_post", {metric!r})', "separability": "found.chart()"}
    read = reads.get(request.kind, f"found.chart({metric!r})")
    return f"import ivx\nfound = ivx.{request.kind}({request.checkpoint!r}, {_about(request)!r}{told})\n{read}"


def in_shell(request: BaseRequest, metric: str) -> str:
    """The command that computes a request again."""
    told = "".join(
        f" --{name.replace('_', '-')}" + ("" if value is True else f" {_listed(value)}")
        for name, value in _told(request).items()
    )
    probed = isinstance(request, SeparabilityRequest)
    about = f"--task{'s' * probed} {_listed(_about(request))}"
    end = "" if probed else f" --metric {metric}"
    return f"python -m ivx {request.kind} --checkpoint {request.checkpoint} {about}{told}{end}"


def _about(request: BaseRequest) -> Any:
    """The task, or the tasks, that are asked about."""
    return request.tasks if isinstance(request, SeparabilityRequest) else getattr(request, "task")  # noqa: B009


def _listed(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _told(request: BaseRequest) -> dict[str, Any]:
    """What must be named beside checkpoint and tasks: the sites and samples, and whatever is not the default."""
    always = ("sites", "samples", "components")
    about = ("checkpoint", "tasks" if isinstance(request, SeparabilityRequest) else "task")
    values = {field.name: (getattr(request, field.name), field.default) for field in fields(request)}
    return {
        name: value
        for name, (value, default) in values.items()
        if name not in about and (name in always or value != default)
    }


def _figures(result: Any) -> list[str]:
    kinds = {
        "effects": lambda: result.maps,
        "separability": lambda: result.request.components,
        "erasure": lambda: ("erasure",),
    }
    return list(kinds.get(result.request.kind, lambda: ["pairs"])())


def _svg(result: Any, part: str, metric: str) -> str:
    import vl_convert  # late: it takes a moment, and nobody has asked for a figure yet

    figures = result.figures(**archive.chart_of(result, metric=metric))
    return str(vl_convert.vegalite_to_svg(figures[part], allowed_base_urls=[]))
