"""`python -m ivx app`: the app in the browser."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to a parser's."""
    app = commands.add_parser("app", help="serve the app to a browser on this machine")
    app.add_argument("--port", type=int, default=8501)
    app.set_defaults(run=_app)


def _app(asked: argparse.Namespace) -> None:
    from ivx.ui.serve import serve

    serve(asked.port)
