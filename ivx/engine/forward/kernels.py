"""Compiled kernels: norms and MLPs of a model's blocks, made once for each padded token count and kept on disk.

A patch is never inside compiled code: it is put where a module's output is *added*, around the call. A module whose
compiled form does not give what its own code gives is left as it is, and so is every module where no compiler is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ivx.engine.forward.fused import Forward, agrees
from ivx.models.paths import cache

AGREE = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Largest deviation, relative to the largest value: compiled half precision rounds once, not at every operation.
float64 is left to the modules' own code: there it is the exact arithmetic that is asked for."""
SIZES = 64
"""Most kernels of one module's code: padded token counts, times the widths it is used at."""

PLACE = "TORCHINDUCTOR_CACHE_DIR"

log = logging.getLogger(__name__)


@contextmanager
def kept() -> Iterator[None]:
    """Kernels are read from and written to `cache/kernels` inside this context, unless torch was told another place."""
    import torch._dynamo  # late: it takes seconds, and a sweep on a CPU needs none of it
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # torch writes its default into the environment itself, so that value is nobody's choice.
    if os.environ.get(PLACE) in (None, default_cache_dir()):
        os.environ[PLACE] = str(cache() / "kernels")
    with torch._dynamo.config.patch(recompile_limit=SIZES):
        yield


def compiled_forms(blocks: list[nn.Module], *, width: int) -> list[tuple[nn.Module, Forward]]:
    """The blocks' norms and MLPs with their compiled forms, each tried on random states first."""
    found = []
    with kept():
        for module in (m for block in blocks for m in block.modules()):
            weight = next(module.parameters(), None)
            if weight is None or weight.dtype not in AGREE or not type(module).__name__.endswith(("Norm", "MLP")):
                continue
            form: Forward = torch.compile(type(module).forward.__get__(module), dynamic=False)
            wide = len(weight) if type(module).__name__.endswith("Norm") else width
            states = torch.randn(3, wide, device=weight.device, dtype=weight.dtype)
            try:
                if agrees(module, form, states, within=AGREE[weight.dtype]):
                    found.append((module, form))
            except (RuntimeError, TypeError) as error:  # no compiler, or code that it cannot read
                log.warning("%s is not compiled: %s", type(module).__name__, (str(error).splitlines() or [""])[0])
                break
    return found
