"""Cells of interaction maps: pairs and triples of players."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ivx.stats.verdict import Verdict


@dataclass(frozen=True)
class PairCell:
    """Two players. Values are means in the metric's unit, positive toward the answer.

    Attributes:
        first, second: addresses of the players; `patch` is that of both.
        j, low, high: J(a, b) = f(ab) − f(a) − f(b), with its 95 % bootstrap interval.
        p, p_control: sign-flip p of J, and of its excess over the control's J, adjusted over the map's pairs.
        control_j, control_low, control_high: J of the same pair with another task's vectors, with its interval;
            the state holds against every control asked for, and `Interactions.against` gives each.
        single_first, single_second, both: f(a), f(b), f(ab).
        gain, gain_low: f(ab) minus the better single, and the lower end of the interval of the gain over either
            single, whichever is less.
        strict: whether f(ab) exceeds the sum and the better single, each by interval and adjusted p.
        signs: signs of the two singles: `+`, `-`, or `0` where one is not different from 0.
        degenerate: why J follows from the singles alone, without a run; empty where it does not.
        state: that of J: `ok`, `control` or `zero` (`ivx.stats.verdict`); `degenerate`; or `estimate`: `j` shades the
            cell, is no result, and nothing else is known.
        same_sign: share of samples whose J has the mean's sign.
    """

    first: str
    second: str
    patch: str
    j: float
    low: float
    high: float
    p: float | None = None
    p_control: float | None = None
    control_j: float | None = None
    control_low: float | None = None
    control_high: float | None = None
    single_first: float | None = None
    single_second: float | None = None
    both: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    strict: bool = False
    signs: str = ""
    degenerate: str = ""
    state: str = "estimate"
    n: int = 0
    same_sign: float = 0.0
    undefined: int = 0

    @property
    def removable(self) -> bool | None:
        """Whether a monotone transform of the metric removes J: each player pushes the same way alone and beside the
        other (Loftus 1978). None where the effects are not known."""
        if self.single_first is None or self.single_second is None or self.both is None:
            return None
        beside = (
            (self.single_first, self.both - self.single_second),
            (self.single_second, self.both - self.single_first),
        )
        return all(alone * with_other > 0 for alone, with_other in beside)


@dataclass(frozen=True)
class TripleCell:
    """Three players; fields as for a pair, `together` is f(abc).

    J(a, b, c) = f(abc) − f(ab) − f(ac) − f(bc) + f(a) + f(b) + f(c).
    """

    players: tuple[str, str, str]
    patch: str
    j: float
    low: float
    high: float
    p: float | None
    p_control: float | None
    control_j: float | None
    control_low: float | None
    control_high: float | None
    together: float
    degenerate: str
    state: str
    n: int
    same_sign: float
    undefined: int = 0


def shared(j: Verdict, reason: str) -> dict[str, Any]:
    """The fields on J that pair and triple cells share; no p where J follows from smaller sets."""
    return {
        "j": j.value,
        "low": j.low,
        "high": j.high,
        "p": None if reason else j.p,
        "p_control": None if reason else j.p_control,
        "control_j": j.control,
        "control_low": j.control_low,
        "control_high": j.control_high,
        "degenerate": reason,
        "state": "degenerate" if reason else j.state,
        "same_sign": j.same_sign,
        "undefined": j.undefined,
    }


def sign_of(single: Verdict) -> str:
    """The sign of a player alone; `0` where it is not different from 0."""
    return "0" if single.state == "zero" else "+" if single.value > 0 else "-"
