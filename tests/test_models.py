"""Architectures are proved on random weights; whatever cannot be loaded is refused in one sentence."""

from __future__ import annotations

import pytest
import torch

from ivx.models.anatomy import ANATOMIES
from ivx.models.doctor import checkup
from tests.random_models import random_model


@pytest.mark.parametrize("kind", sorted(ANATOMIES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_doctor_proves_every_architecture_of_the_table(kind: str, dtype: torch.dtype) -> None:
    report = checkup(random_model(kind, dtype=dtype))
    assert report.passed, [check for check in report.checks if not check.passed]
