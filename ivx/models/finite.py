"""Finite numbers: a half-precision format that overflows leaves infinities and NaN, which no reading may be made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivx.errors import IvxError
from ivx.models.model import Model


def dtype_of(model: Model) -> str:
    """The name of the model's dtype."""
    return str(model.dtype).removeprefix("torch.")


def cure(model: Model) -> str:
    """What to do where numbers overflow."""
    wider = {torch.float16: "bfloat16 or float32", torch.bfloat16: "float32"}.get(model.dtype)
    return f"load it in {wider}" if wider else "its weights are too large for any prompt to be read"


def finite(values: Any, model: Model, *, what: str) -> None:
    """Refuse values that hold an infinity or NaN, an array or a tensor; `what` names them, in the plural.

    Raises:
        IvxError: they do.
    """
    whole = bool(values.isfinite().all()) if isinstance(values, Tensor) else bool(np.isfinite(values).all())
    if not whole:
        raise IvxError(f"{what} of {model.name} are not finite in {dtype_of(model)}: {cure(model)}")
