"""Pictures: a figure's spec as SVG and PNG, without a browser; nothing is fetched for it."""

from __future__ import annotations

import re
from typing import Any

PNG_SCALE = 2


def svg(spec: dict[str, Any]) -> str:
    """A spec as SVG, the same text every time: Vega counts its gradients over all that a process draws."""
    import vl_convert  # late: it takes a moment, and the pages need none of it

    drawn = str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))
    numbers = {name: i for i, name in enumerate(dict.fromkeys(re.findall(r"\bgradient_\d+", drawn)))}
    return re.sub(r"\bgradient_\d+", lambda found: f"gradient_{numbers[found[0]]}", drawn)


def png(spec: dict[str, Any]) -> bytes:
    """A spec as PNG, twice its size in pixels, for print."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, scale=PNG_SCALE, allowed_base_urls=[]))
