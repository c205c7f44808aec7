"""The export of a result: archive, tables, figures, and what to write to compute it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import streamlit as st

from ivx.analyses.compare.result import Comparison
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.archive import pack
from ivx.archive.caption import caption
from ivx.formats import parquet, pictures, sheet
from ivx.request import BaseRequest

COMMANDS = ("effects", "scan", "interactions", "separability", "erasure", "pathways")
"""Kinds that the command line knows."""

Offered = tuple[str, str, Callable[[], str | bytes]]
"""A label, how the file's name ends, and what makes its content."""


def buttons(name: str, offered: Sequence[Offered]) -> None:
    """A button a file; each is made when it is asked for."""
    for label, ending, content in offered:
        st.download_button(label, content, name + ending, on_click="ignore")


def offer(result: Any, metric: str, *, beside: Mapping[str, dict[str, Any]] | None = None) -> None:
    """A button that opens what can be taken away; each file is made when it is asked for.

    `beside` are figures of more than this result, by name: a Vega-Lite spec for print each.
    """
    with st.popover("Export", width="stretch"):
        name = f"ivx-{result.run_id}"
        offered: list[Offered] = [
            ("Zip: rows, figures, receipt, notebook", ".zip", lambda: pack.of_result(result, metric=metric)),
            ("Parquet, all rows", ".parquet", lambda: parquet.parquet(result.table, result.receipt)),
            ("CSV, all rows", ".csv", lambda: sheet.csv(result.table)),
        ]
        for part in _figures(result):
            offered.append((f"SVG, {part}", f"-{part}.svg", partial(_drawn, result, part, metric, pictures.svg)))
            offered.append((f"PNG, {part}", f"-{part}.png", partial(_drawn, result, part, metric, pictures.png)))
        for part, spec in (beside or {}).items():
            offered.append((f"SVG, {part}", f"-{part.replace(' ', '-')}.svg", partial(pictures.svg, spec)))
            offered.append((f"PNG, {part}", f"-{part.replace(' ', '-')}.png", partial(pictures.png, spec)))
        buttons(name, offered)
        for part in _figures(result):
            if told := caption(result, part, metric):
                st.caption(f"Caption, {part}")
                st.code(told, language=None, wrap_lines=True)
        st.code(in_python(result.request, metric), language="python", wrap_lines=True)
        if result.request.kind in COMMANDS:
            st.code(in_shell(result.request, metric), language="bash", wrap_lines=True)


def offer_comparison(found: Comparison, metric: str) -> None:
    """The same for checkpoints side by side: every number with its interval, the maps, and how to get them again."""
    with st.popover("Export", width="stretch"):
        offered: list[Offered] = [
            ("Parquet, every number", ".parquet", lambda: parquet.parquet(found.tidy(metric), found.receipt)),
            ("CSV, every number", ".csv", lambda: sheet.csv(found.tidy(metric))),
        ]
        if all(member.effects is not None for member in found.members):
            offered.append(("SVG, maps and differences", ".svg", lambda: pictures.svg(found.figure(metric))))
        buttons(f"ivx-{'-'.join(found.names)[:60]}", offered)
        names, task = ",".join(found.names), found.asked.task
        grafts = (", transplant=True", " --transplant") if found.transplants else ("", "")
        code = f"import ivx\nfound = ivx.compare({list(found.names)!r}, {task!r}{grafts[0]})\nfound.table"
        st.code(code, language="python", wrap_lines=True)
        shell = f"python -m ivx compare --checkpoints {names} --task {task}{grafts[1]} --metric {metric}"
        st.code(shell, language="bash", wrap_lines=True)


def offer_several(results: Sequence[Any], metric: str) -> None:
    """A button that opens each result's archive."""
    with st.popover("Export", width="stretch"):
        for result in results:
            label = f"Zip of the {result.request.kind}: rows, figures, receipt, notebook"
            content = partial(pack.of_result, result, metric=metric)
            st.download_button(label, content, f"ivx-{result.run_id}.zip", on_click="ignore")


def in_python(request: BaseRequest, metric: str) -> str:
    """The Python that computes a request again."""
    plain = request.kind in ("separability", "pathways")
    read = "found.chart()" if plain else f"found.chart({metric!r})"
    return f"{computed_by(request)}\n{read}"


def computed_by(request: BaseRequest) -> str:
    """The Python that makes `found`, the result of a request."""
    told = "".join(f", {name}={value!r}" for name, value in _told(request).items())
    return f"import ivx\nfound = ivx.{request.kind}({request.checkpoint!r}, {_about(request)!r}{told})"


def in_shell(request: BaseRequest, metric: str) -> str:
    """The command that computes a request again."""
    told = "".join(
        f" --{name.replace('_', '-')}" + ("" if value is True else f" {_listed(value)}")
        for name, value in _told(request).items()
    )
    probed = isinstance(request, SeparabilityRequest)
    about = f"--task{'s' * probed} {_listed(_about(request))}"
    end = "" if probed or request.kind == "pathways" else f" --metric {metric}"
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
        "scan": lambda: result.maps,
        "separability": lambda: result.request.components,
        "erasure": lambda: ("erasure",),
        "pathways": lambda: ("here", "there", "overlap", *(f"faithfulness-{c.unit}" for c in result.faithfulness())),
    }
    return list(kinds.get(result.request.kind, lambda: ["pairs"])())


def _drawn(result: Any, part: str, metric: str, draw: Callable[[dict[str, Any]], str | bytes]) -> str | bytes:
    return draw(result.figures(**pack.chart_of(result, metric=metric))[part])
