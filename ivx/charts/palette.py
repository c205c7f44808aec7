"""Colours: one blue–orange scale, symmetric at 0, and the inks around it, for light and dark.

Blue is away from the answer, orange toward it; lightness is monotonic on each side, and the two hues are the pair
that simulated colour-blind eyes tell apart best.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Hex colours of one theme. A cell's number is `on_light`, and `on_dark` where its value passes `flip` (below,
    above 0): black and white, since no softer pair has a contrast of 4.5 on every colour of the scale.

    `letters` is how much larger than on a desk a chart's letters are, where they are read from afar.
    """

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
    letters: float = 1.0


LIGHT = Palette(
    name="light",
    diverging=("#0A3A6B", "#2F6FAE", "#7FB0DA", "#C9DFF1", "#F7F7F5", "#FBDEBC", "#F3AC62", "#D5761C", "#8A4100"),
    ink="#1B2430",
    muted="#5B6673",
    faint="#9AA4AF",
    line="#E3E7EC",
    background="#FFFFFF",
    card="#F7F8FA",
    nothing="#ECEEF1",
    blue="#2F6FAE",
    orange="#B0580A",
    tick="#2E7D5B",
    flip=(-0.712, 0.857),
    on_dark="#FFFFFF",
    on_light="#000000",
)
DARK = Palette(
    name="dark",
    diverging=("#A6D2FA", "#6AACE6", "#3D7DBB", "#274A6B", "#1D232A", "#5A4127", "#A2672A", "#DE8F40", "#FFCF9B"),
    ink="#E6EAEF",
    muted="#A0ABB7",
    faint="#67727E",
    line="#2B323A",
    background="#14181E",
    card="#1A2027",
    nothing="#2A3138",
    blue="#6FB1EA",
    orange="#F0A552",
    tick="#6CC39B",
    flip=(-0.481, 0.507),
    on_dark="#000000",
    on_light="#FFFFFF",
)


def palette(theme: str) -> Palette:
    """`light` or `dark`; anything else is light."""
    return DARK if theme == "dark" else LIGHT
