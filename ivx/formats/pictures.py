"""Pictures: a figure's spec as SVG and PNG, without a browser; nothing is fetched for it."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

PNG_SCALE = 2


def svg(spec: dict[str, Any]) -> str:
    """A spec as SVG with its title and description, the same text every time: Vega counts its gradients over all that
    a process draws."""
    import vl_convert  # late: it takes a moment, and the pages need none of it

    drawn = _named(str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])), spec)
    numbers = {name: i for i, name in enumerate(dict.fromkeys(re.findall(r"\bgradient_\d+", drawn)))}
    return re.sub(r"\bgradient_\d+", lambda found: f"gradient_{numbers[found[0]]}", drawn)


def png(spec: dict[str, Any]) -> bytes:
    """A spec as PNG, twice its size in pixels, for print."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, scale=PNG_SCALE, allowed_base_urls=[]))


def _named(drawn: str, spec: dict[str, Any]) -> str:
    """The SVG with a title and a description, which a reader of screens and a file's tooltip say."""
    told = spec.get("title", "")
    told = told if isinstance(told, dict) else {"text": told}
    title, under = (_joined(told.get(name, "")) for name in ("text", "subtitle"))
    description = spec.get("description") or under
    named = "".join(f"<{tag}>{escape(said)}</{tag}>" for tag, said in (("title", title), ("desc", description)) if said)
    head, opened, rest = drawn.partition(">")
    return head + opened + named + rest


def _joined(told: str | list[str]) -> str:
    return told if isinstance(told, str) else " ".join(told)
