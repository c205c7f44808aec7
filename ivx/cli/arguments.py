"""A command for each analysis: its options are the fields of the request, and their help what the request says of
them."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from ivx.analyses.base import Analysis, Json
from ivx.analyses.published import DIFFERENT, METRIC, as_published, corrected
from ivx.analyses.registry import ANALYSES, analysis_of
from ivx.cli.output import add_files, add_ray, bar, check_files, plain, report, write_shown
from ivx.errors import IvxError
from ivx.numeral import integer
from ivx.request import BaseRequest

LAST = {field.name for field in fields(BaseRequest)}
_ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): ", re.MULTILINE)


def add(commands: Any) -> None:
    """Add a command for every analysis to a parser's subcommands."""
    for analysis in ANALYSES:
        parser = commands.add_parser(analysis.kind, help=analysis.title, description=f"{analysis.title}.")
        options(parser, analysis.request, [field.name for field in sorted(fields(analysis.request), key=_rank)])
        for name, extra in analysis.extras.items():
            value: dict[str, Any] = {"metavar": extra.metavar} if extra.metavar else {"action": "store_true"}
            parser.add_argument(f"--{name.replace('_', '-')}", help=extra.help, **value)
        if analysis.published:
            parser.add_argument(
                "--as-published",
                action="store_true",
                help=f"ask as the paper does ({_safe(plain(DIFFERENT))}), and print what ivx makes of it beside it",
            )
        if analysis.measured:
            parser.add_argument("--metric", default="contrast", help="what the summary is read by (default: contrast)")
        add_ray(parser)
        add_files(parser, "the rows")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON")
        parser.set_defaults(run=_run, analysis=analysis)


def options(parser: argparse.ArgumentParser, kind: type[BaseRequest], names: Sequence[str]) -> None:
    """Add options for some fields of a request, in this order."""
    told, hints = help_of(kind), get_type_hints(kind)
    every = {field.name: field for field in fields(kind)}
    for name in names:
        _option(parser, every[name], hints[name], told.get(name, ""))


def help_of(kind: type[BaseRequest]) -> dict[str, str]:
    """What the docstrings of a request and its bases say of each attribute."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        doc = inspect.cleandoc(base.__doc__ or "")
        _, _, attributes = doc.partition("Attributes:\n")
        parts = _ATTRIBUTE.split(attributes)
        for names, text in zip(parts[1::2], parts[2::2], strict=True):
            found |= dict.fromkeys(names.split(", "), " ".join(text.replace("`", "").split()).rstrip("."))
    return found


def request_of(kind: type[BaseRequest], asked: argparse.Namespace) -> BaseRequest:
    """The request that a command's options ask for."""
    return kind(**{field.name: getattr(asked, field.name) for field in fields(kind)})


def _rank(field: Field[Any]) -> int:
    """Sort key of options: required ones first, those that every analysis has last."""
    return 0 if field.default is MISSING else 2 if field.name in LAST else 1


def _option(parser: argparse.ArgumentParser, field: Field[Any], hint: Any, told: str) -> None:
    """One option; a default of the command's own, where it has one, stands in the field's metadata."""
    name = f"--{field.name.replace('_', '-')}"
    default = field.metadata.get("command", field.default)
    if default is MISSING:
        parser.add_argument(name, required=True, type=_plain(hint), help=_safe(told))
    elif hint is bool:
        parser.add_argument(name, action="store_true", help=_safe(told))
    elif field.metadata.get("repeated"):
        parser.add_argument(name, action="append", default=[], help=_safe(f"{told} (may be given several times)"))
    elif get_origin(hint) is tuple:
        listed = f"{told} (comma-separated, default: {','.join(default)})"
        parser.add_argument(name, type=_names, default=default, help=_safe(listed))
    else:
        shown = "" if default is None or default == "" else f" (default: {default})"
        parser.add_argument(name, type=_plain(hint), default=default, help=_safe(told + shown))


def _plain(hint: Any) -> Callable[[str], Any]:
    """What an option's value is parsed by."""
    found: Any = next((part for part in get_args(hint) if part is not NoneType), hint)
    return integer if found is int else found


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _safe(text: str) -> str:
    return text.replace("%", "%%")


def _run(asked: argparse.Namespace) -> None:
    """Answer a command: its rows into the file that was named, its summary printed in words or as JSON."""
    from ivx.jobs.compute import answered
    from ivx.models.load import load
    from ivx.stats.metrics import find
    from ivx.store.store import Store

    analysis: Analysis[Any, Any] = asked.analysis
    metric = find(asked.metric).name if analysis.measured else "contrast"
    if find(metric).needs and not analysis.told:
        raise IvxError(f"--metric {metric} needs the told run beside each sample, as effects and scan have it alone")
    check_files(asked)
    extras = {name: getattr(asked, name) for name in analysis.extras}
    analysis.check_extras(**extras)
    for field in fields(analysis.request):
        if field.metadata.get("repeated"):
            setattr(asked, field.name, tuple(getattr(asked, field.name)))

    def loaded(request: BaseRequest) -> Any:
        model = load(request.checkpoint, **request.loading)
        if sys.stderr.isatty() and (cost := analysis_of(request.kind).steps.cost(model, request)) is not None:
            print(cost.told, file=sys.stderr)
        return model

    def answer(request: BaseRequest) -> Any:
        return answered(
            Store(),
            request,
            load=lambda: loaded(request),
            on_progress=bar if sys.stderr.isatty() else None,
        )

    request: Any = request_of(analysis.request, asked)
    extras = {name: getattr(asked, name) for name in analysis.extras}
    words: Callable[[Json], str] = analysis.words.text
    beside: Json | None = None
    if analysis.published and asked.as_published:
        metric = METRIC
        beside = answer(corrected(request)).summary(metric)
        request = as_published(request)
    found = answer(request)
    summary = analysis.summary(found, metric, answer=answer, **extras)
    write_shown(found, asked, metric)
    analysis.write(found, **extras)
    if beside is not None:
        summary, words = {**summary, "corrected": beside}, _both(words)
    report(found, summary, out=asked.out, as_json=asked.json, words=words)


def _both(words: Callable[[Json], str]) -> Callable[[Json], str]:
    """What a command prints of a result as published, and of the corrected one behind it."""

    def told(summary: Json) -> str:
        own = words({name: value for name, value in summary.items() if name != "corrected"})
        return f"AS PUBLISHED\n{own}\n\nCORRECTED\n{words(summary['corrected'])}"

    return told
