"""Colours: one blue–orange scale, symmetric at 0, and the inks around it, for light and dark.

Blue is away from the answer, orange toward it; lightness is monotonic on each side, and the two hues are the pair
that simulated colour-blind eyes tell apart best.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Hex colours of one theme. A cell's number turns light where |value| passes `flip` (below, above 0)."""

    name: str
    diverging: tuple[str, ...]
    ink: str
    muted: str
    faint: str
    line: str
    background: str
    card: str
    nothing: str
    blue: str
    orange: str
    tick: str
    flip: tuple[float, float]
    on_dark: str
    on_light: str


def _hex(*names: str) -> tuple[str, ...]:
    return tuple(f"#{name}" for name in names)


LIGHT = Palette(
    "light",
    _hex("0A3A6B", "2F6FAE", "7FB0DA", "C9DFF1", "F7F7F5", "FBDEBC", "F3AC62", "D5761C", "8A4100"),
    *_hex("1B2430", "5B6673", "9AA4AF", "E3E7EC", "FFFFFF", "F7F8FA", "ECEEF1", "2F6FAE", "C2640F", "2E7D5B"),
    flip=(-0.60, 0.78),
    on_dark="#FFFFFF",
    on_light="#1B2430",
)
DARK = Palette(
    "dark",
    _hex("A6D2FA", "6AACE6", "3D7DBB", "274A6B", "1D232A", "5A4127", "A2672A", "DE8F40", "FFCF9B"),
    *_hex("E6EAEF", "A0ABB7", "67727E", "2B323A", "14181E", "1A2027", "2A3138", "6FB1EA", "F0A552", "6CC39B"),
    flip=(-0.60, 0.60),
    on_dark="#14181E",
    on_light="#E6EAEF",
)


def palette(theme: str) -> Palette:
    """`light` or `dark`; anything else is light."""
    return DARK if theme == "dark" else LIGHT
