"""The export of a result: archive, tables, figures, and the code that computes it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.compare.result import Comparison
from ivx.analyses.compare.text import short
from ivx.analyses.picture import Picture, compared, picture
from ivx.analyses.registry import analysis_of
from ivx.archive import pack
from ivx.formats import parquet, pictures, sheet
from ivx.patching import gate
from ivx.request import WAY, BaseRequest
from ivx.ui.kit import copying, pieces

Offered = tuple[str, str, Callable[[], str | bytes]]
"""A label, how the file's name ends, and what makes its content."""
FEW = 3
"""Most runs whose archives are listed at once."""
ZIP = "Zip: rows, figures, receipt, notebook"


def buttons(name: str, offered: Sequence[Offered]) -> None:
    """A button per file; each file is made when it is asked for."""
    for label, ending, content in offered:
        st.download_button(label, content, name + ending, on_click="ignore")


def row(title: str, name: str, offered: Sequence[Offered]) -> None:
    """The same side by side, under what they are."""
    st.html(f'<div class="ivx-note">{escape(title)}</div>')
    with st.container(horizontal=True, gap="small"):
        buttons(name, offered)


def take(name: str, shown: Callable[[], Picture], *, note: str) -> None:
    """The picture as one figure, for a file and for the clipboard, the view's address, and the numbers in it."""
    row(
        "The picture, with title, n and caption",
        name,
        [
            ("SVG", ".svg", lambda: shown().svg()),
            ("PNG", ".png", lambda: shown().png()),
        ],
    )
    copying.buttons(lambda: shown().png(), key=f"copying-{name}")
    plotted = {"what": "plotted", "run": name}
    row(
        "The numbers in it: cell, mean, interval, p, control, state",
        name,
        [
            ("CSV, plotted", "-plotted.csv", lambda: sheet.csv(shown().plotted, note=note)),
            ("Parquet, plotted", "-plotted.parquet", lambda: parquet.parquet(shown().plotted, plotted, note=note)),
        ],
    )


def foot(result: Any, metric: str, *, live: bool) -> None:
    """The end of a result's page: whether it can be trusted, what can be taken away once it is done, and warnings."""
    trust, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(result.receipt, rows=f"n = {len(result.samples.rows)} · {result.table.num_rows:,} rows")
    if not live:
        with export:
            offer(result, metric)
    for warning in result.samples.warnings:
        pieces.note(warning)


def offer(result: Any, metric: str, *, beside: Mapping[str, dict[str, Any]] | None = None) -> None:
    """A button that opens all downloads of a result; each file is made when it is asked for.

    `beside` are figures of more than this result, by name: a Vega-Lite spec for print each.
    """
    with st.popover("Export", width="stretch"):
        name, note = f"ivx-{result.run_id}", gate.opening(result.receipt)
        take(name, partial(picture, result, metric=metric), note=note)
        for part, spec in (beside or {}).items():
            ending = f"-{part.replace(' ', '-')}"
            drawn: list[Offered] = [
                (f"SVG, {part}", f"{ending}.svg", partial(pictures.svg, spec)),
                (f"PNG, {part}", f"{ending}.png", partial(pictures.png, spec)),
            ]
            row(f"{part[0].upper()}{part[1:]}", name, drawn)
        rows: list[Offered] = [
            ("CSV, all rows", "-rows.csv", lambda: sheet.csv(result.table, note=note)),
            ("Parquet, all rows", "-rows.parquet", lambda: parquet.parquet(result.table, result.receipt, note=note)),
            (ZIP, ".zip", lambda: pack.of_result(result, metric=metric)),
        ]
        row("What they were computed from", name, rows)
        for part in result.figure_names:
            if told := analysis_of(result.request.kind).words.caption(result, part, metric):
                st.caption(f"Caption, {part}")
                st.code(told, language=None, wrap_lines=True)
        st.code(in_python(result.request, metric), language="python", wrap_lines=True)
        st.code(in_shell(result.request, metric), language="bash", wrap_lines=True)


def offer_comparison(found: Comparison, metric: str) -> None:
    """The same for checkpoints side by side: every number with its interval, the maps, and how to get them again."""
    receipt = found.receipt
    note = gate.opening(receipt)
    with st.popover("Export", width="stretch"):
        offered: list[Offered] = [
            (
                "Parquet, every number",
                "-numbers.parquet",
                lambda: parquet.parquet(found.tidy(metric), receipt, note=note),
            ),
            ("CSV, every number", "-numbers.csv", lambda: sheet.csv(found.tidy(metric), note=note)),
        ]
        name = f"ivx-{'-'.join(map(short, found.names))[:60]}"
        if all(member.effects is not None for member in found.members):
            take(name, partial(compared, found, metric=metric), note=note)
        row("Every number of the comparison", name, offered)
        names, task = ",".join(found.names), found.asked.task
        grafts = (", transplant=True", " --transplant") if found.transplants else ("", "")
        asked = {
            field.name: value
            for field in fields(found.asked)
            if (value := getattr(found.asked, field.name)) != field.default and field.name != "task"
        }
        told = "".join(f", {name}={value!r}" for name, value in asked.items())
        code = f"import ivx\nfound = ivx.compare({list(found.names)!r}, {task!r}{told}{grafts[0]})\nfound.table"
        st.code(code, language="python", wrap_lines=True)
        flags = "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in asked.items())
        shell = f"python -m ivx compare --checkpoints {names} --task {task}{flags}{grafts[1]} --metric {metric}"
        st.code(shell, language="bash", wrap_lines=True)


def offer_exchange(found: Exchange, metric: str) -> None:
    """The same for the vectors of checkpoints in each of them."""
    receipt = found.receipt
    note, request = gate.opening(receipt), receipt["request"]
    with st.popover("Export", width="stretch"):
        offered: list[Offered] = [
            ("CSV, every number", "-numbers.csv", lambda: sheet.csv(found.tidy(metric), note=note)),
            (
                "Parquet, every number",
                "-numbers.parquet",
                lambda: parquet.parquet(found.tidy(metric), receipt, note=note),
            ),
        ]
        name = f"ivx-{'-'.join(map(short, found.names))[:60]}"
        take(name, partial(picture, found, metric=metric), note=note)
        row("The cells, and what changed from one checkpoint to the next", name, offered)
        usual = {**dict.fromkeys(WAY, ""), "spelling": "auto", "target_format": "prompt", "demonstrations": 0}
        names = ("source_token", "position", "layers", "samples", *WAY)
        given = {name: request[name] for name in names if request[name] != usual.get(name, "")}
        told = "".join(f", {name}={value!r}" for name, value in given.items())
        code = f"import ivx\nfound = ivx.exchange({list(found.names)!r}, {list(found.tasks)!r}{told})\nfound.table"
        st.code(code, language="python", wrap_lines=True)
        options = {"checkpoints": ",".join(found.names), "tasks": ",".join(found.tasks), **given, "metric": metric}
        flags = " ".join(f"--{name.replace('_', '-')}={shlex.quote(str(value))}" for name, value in options.items())
        st.code(f"python -m ivx exchange {flags}", language="bash", wrap_lines=True)


def offer_several(results: Sequence[Any], metric: str, *, shown: Callable[[], Picture] | None = None) -> None:
    """A button that opens the picture of several results, by default of all of them, and each one's archive."""
    with st.popover("Export", width="stretch"):
        name, receipts = f"ivx-{results[0].run_id}", [one.receipt for one in results]
        note = " ".join(dict.fromkeys(filter(None, map(gate.opening, receipts))))
        take(name, shown or partial(picture, *results, metric=metric), note=note)
        with st.expander("What it was computed from", expanded=len(results) <= FEW):
            st.html('<div class="ivx-note">A zip of each run: rows, figures, receipt, notebook</div>')
            for result in results:
                content = partial(pack.of_result, result, metric=metric)
                label = f"Zip of the {result.request.kind}, run {result.run_id}"
                st.download_button(label, content, f"ivx-{result.run_id}.zip", on_click="ignore", type="tertiary")


def in_python(request: BaseRequest, metric: str) -> str:
    """The Python that computes a request again."""
    read = f"found.chart({metric!r})" if analysis_of(request.kind).measured else "found.chart()"
    return f"{computed_by(request)}\n{read}"


def computed_by(request: BaseRequest) -> str:
    """The Python that makes `found`, the result of a request."""
    told = "".join(f", {name}={value!r}" for name, value in _options(request).items())
    subject = getattr(request, _subject(request))
    return f"import ivx\nfound = ivx.{request.kind}({request.checkpoint!r}, {subject!r}{told})"


def in_shell(request: BaseRequest, metric: str) -> str:
    """The command that computes a request again."""
    asked = {"checkpoint": request.checkpoint, _subject(request): getattr(request, _subject(request))}
    measured = {"metric": metric} if analysis_of(request.kind).measured else {}
    repeated = {field.name for field in fields(request) if field.metadata.get("repeated")}
    options = []
    for name, value in (asked | _options(request) | measured).items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            options.append(flag)
        else:
            each = value if name in repeated else [",".join(value) if isinstance(value, tuple) else str(value)]
            options += [f"{flag} {shlex.quote(one)}" for one in each]
    return f"python -m ivx {request.kind} {' '.join(options)}"


def _subject(request: BaseRequest) -> str:
    """The name of the request's subject: its first positional field after the checkpoint."""
    return next(field.name for field in fields(request) if not field.kw_only and field.name != "checkpoint")


def _options(request: BaseRequest) -> dict[str, Any]:
    """The options to state besides checkpoint and subject: sites, samples, and whatever is not the default."""
    always = ("sites", "samples", "components")
    values = {field.name: (getattr(request, field.name), field.default) for field in fields(request)}
    return {
        name: value
        for name, (value, default) in values.items()
        if name not in ("checkpoint", _subject(request)) and (name in always or value != default)
    }
