"""The same analyses without a browser: `ivx effects | interactions | …`, a command for each that the registry lists.

A user's mistake is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from ivx.cli import arguments, atlas, compare, exchange, inspect, runs, tasks
from ivx.cli.output import add_ray, plain
from ivx.errors import IvxError
from ivx.models.cluster import set_to
from ivx.numeral import integer
from ivx.version import VERSION


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, by default the one that this process was started with; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that does not write UTF-8 gets a stand-in for a letter
            stream.reconfigure(errors="replace")
    asked = _parser().parse_args(argv)
    try:
        with set_to(getattr(asked, "ray", None)):
            return int(asked.run(asked) or 0)
    except IvxError as error:
        print(f"ivx: {plain(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ivx", description="The analyses of ivx without a browser, and its app.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="command")
    for part in (arguments, tasks, compare, exchange, atlas, inspect, runs):
        part.add(commands)
    app = commands.add_parser("app", help="serve the app to a browser on this machine")
    app.add_argument("--port", type=integer, default=8501)
    app.add_argument(
        "--metrics",
        default="",
        metavar="PORT",
        help="tell Prometheus's metrics, and /health, at this port of this machine (default: IVX_METRICS, or nowhere)",
    )
    add_ray(app)
    app.set_defaults(run=_app)
    return parser


def _app(asked: argparse.Namespace) -> None:
    from ivx.ui.serve import serve

    serve(asked.port, metrics_at=asked.metrics)
