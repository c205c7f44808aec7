"""A module that is run once, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from ivx.confined.bounds import Bounds


def program(
    module: str,
    given: bytes,
    arguments: Sequence[str] = (),
    *,
    to: BinaryIO,
    seconds: float,
    settings: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[bytes]:
    """Run a module on bytes from its standard input; raises `Ended` where it takes more than `seconds`.

    Its standard output goes into the file `to`, whose size its own bounds hold.
    """
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=given,
            stdout=to,
            stderr=subprocess.PIPE,
            timeout=seconds,
            env=environment(settings),
        )
    except subprocess.TimeoutExpired as error:
        raise Bounds(0, seconds).too_long() from error


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables with others, for one in which the same modules are found."""
    told = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    told["PYTHONPATH"] = os.pathsep.join(part for part in sys.path if part)
    return told
