"""Public names: every one is there, is documented, and is what a type checker is told."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import ivx
from ivx.analyses.compare.request import Compared

ROOT = Path(__file__).parent.parent


def told() -> set[str]:
    """The names that `ivx/__init__.py` tells type checkers."""
    tree = ast.parse((ROOT / "ivx" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_every_public_name_is_there_and_told() -> None:
    assert all(getattr(ivx, name) is not None for name in ivx.__all__)
    assert told() == set(ivx.__all__) <= set(dir(ivx))
    assert {"Model", "Effects", "effects", "load", "sweep"} <= set(ivx.__all__)


def test_every_public_name_is_told_to_users() -> None:
    told = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [name for name in ivx.__all__ if f"ivx.{name}" not in told and f"`{name}`" not in told]
    assert not missing


def test_a_comparison_takes_what_its_parts_are_asked() -> None:
    taken = inspect.signature(ivx.compare).parameters
    wanted = {field.name: field.default for field in fields(Compared)}
    assert wanted.keys() <= taken.keys()
    assert all(taken[name].default in (default, inspect.Parameter.empty) for name, default in wanted.items())


def test_a_bare_import_reads_nothing() -> None:
    heavy = "import sys, ivx; print(sorted({'torch', 'transformers', 'pyarrow', 'streamlit'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"
