"""Numbers as charts write them, and the scale of their colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol


class Judged(Protocol):
    """A mean, the ends of its interval, its control's mean and the verdict on it."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def control(self) -> float | None: ...
    @property
    def state(self) -> str: ...


def scale_of(values: Sequence[float]) -> float:
    """Upper end of a scale symmetric about 0: the largest size, rounded up to one or two digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if largest == 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(largest))
    step = step if largest / step > 2 else step / 2
    return round(math.ceil(largest / step - 1e-9) * step, 10)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a real minus, and no signed zero."""
    if not math.isfinite(value):
        return "undefined"
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("−" if value < 0 else "+") + text
