"""The page that the browser loads first, with ivx's style sheet, with a word on the code that every page will need, and
with what brings it back should it fall.

What comes later, as part of the app, would move all that is there: styles, and the elements whose code is on its way.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STYLE, AGAIN = (Path(__file__).with_name(name) for name in ("style.css", "again.js"))
END = b"</head>"
CODE = Path(streamlit.__file__).parent / "static" / "static" / "js"
NEEDED = ("Html", "BidiComponent", "Selectbox", "ButtonGroup", "ArrowVegaLiteChart", "loadVegaEmbed", "embed")
"""Names, before their hashes, of the files of Streamlit's elements that every page has; one that it renames comes when
it is used."""


class Dressed:
    """A middleware that adds to the head of Streamlit's one HTML page; all else goes by as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not _asks_for_a_page(scope):
            await self.app(scope, receive, send)
            return
        held: list[Message] = []
        body = b""

        async def holding(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                held.append(message)
                return
            body += message.get("body", b"")
            if message.get("more_body", False):
                return
            style, again = (path.read_text(encoding="utf-8") for path in (STYLE, AGAIN))
            more = f"{_asked_early()}<style>{style}</style><script>{again}</script>".encode()
            dressed = body.replace(END, more + END, 1)
            headers = [
                (name, str(len(dressed)).encode() if name == b"content-length" else value)
                for name, value in held[0]["headers"]
                if name not in (b"etag", b"last-modified")  # of the page without it
            ]
            await send({**held[0], "headers": headers})
            await send({"type": "http.response.body", "body": dressed})

        plain = [(name, value) for name, value in scope["headers"] if name not in UNASKED]
        await self.app({**scope, "headers": plain}, receive, holding)


UNASKED = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
"""What a browser may ask of the page that would bring it compressed, in part, or not at all."""


def _asks_for_a_page(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


@cache
def _asked_early() -> str:
    """Links to the needed files, and to those that they import."""
    found = {path for name in NEEDED for path in CODE.glob(f"{name}.*.js")}
    found |= {CODE / name for path in found for name in re.findall(r'from"\./([^"]+\.js)"', path.read_text("utf-8"))}
    return "".join(f'<link rel="modulepreload" crossorigin href="./static/js/{path.name}">' for path in sorted(found))
