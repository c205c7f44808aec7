"""What the tests of loading share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ivx.models.registry import EMBEDDED


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of tiny-sft to break."""
    return Path(shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "copy"))
