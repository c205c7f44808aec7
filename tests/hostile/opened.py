"""A process that opens harmed checkpoints as the app does, one after another, and tells what became of each and of it.

It is begun with a folder that holds what is harmed, a folder to work in, and the names of cases, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch

import ivx
from ivx.errors import IvxError
from ivx.models import judge
from ivx.models.paths import ROOTS
from ivx.models.prospect import prospect
from ivx.tasks.encoder import Encoder
from tests.hostile.every import CASES

PROMPT = "Name the colour of the animal. Animal: crow. Answer:"
EVERY = 0.05
"""Seconds between two looks."""


class Watch:
    """What this process opens, how long it does not answer, and how much memory those that it began take."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.gap = 0.0
        self.child = 0
        sys.addaudithook(self._open)
        threading.Thread(target=self._look, daemon=True).start()

    def _open(self, event: str, told: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(told[0], str | bytes | os.PathLike):
            with suppress(OSError, ValueError):
                self.opened.append(os.path.realpath(os.fsdecode(told[0])))

    def _look(self) -> None:
        me, last = psutil.Process(), time.monotonic()
        while True:
            time.sleep(EVERY)
            now = time.monotonic()
            self.gap, last = max(self.gap, now - last - EVERY), now
            with suppress(psutil.Error):
                for one in me.children(recursive=True):
                    with suppress(psutil.Error):
                        self.child = max(self.child, one.memory_info().rss)
            last = time.monotonic()


def one(folder: Path, opened: str) -> dict[str, Any]:
    """Open a checkpoint as the app does: see it, load it, read a prompt, put it into its template."""
    path = str(folder / opened)
    prospect(path)
    model = ivx.load(path, dtype="float32")
    encoder = Encoder(model.tokenizer)
    with torch.no_grad():
        logits = model.hf(torch.tensor([encoder.ids(PROMPT)])).logits[0, -1]
    told: dict[str, Any] = {"logits": [round(value, 4) for value in logits[:8].tolist()]}
    if model.tokenizer.chat_template:
        try:
            told["turn"] = encoder.chat(PROMPT)
        except IvxError as error:
            told["turned away"] = str(error)
    return told


def main(bases: Path, work: Path, names: list[str]) -> None:
    """Open every case; one line of JSON is told of each."""
    watch, me = Watch(), psutil.Process()
    allowed = [sys.prefix, sys.base_prefix, str(Path(ivx.__file__).parents[1]), os.environ["IVX_CACHE"]]
    allowed += ["/proc", "/sys", "/usr", "/lib", "/dev/null", "/dev/urandom", "/etc", *filter(None, sys.path)]
    allowed = [os.path.realpath(place) for place in allowed]
    folder = work / "case"
    os.environ[ROOTS] = str(folder / "base")
    for name in ["", *names]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bases, folder)
        edited = json.loads((folder / "adapter" / "adapter_config.json").read_text())
        edited["base_model_name_or_path"] = str(folder / "base")
        (folder / "adapter" / "adapter_config.json").write_text(json.dumps(edited))
        found: dict[str, Any] = {}
        began = 0.0
        if name:
            CASES[name].harm(folder)
        for path in (folder / "outside").iterdir():
            os.utime(path, (1, time.time()))  # never read since it was written
        for which in [CASES[name].opened] if name else ["base", "packed.gguf", "adapter"]:
            watch.opened, watch.gap, watch.child, began = [], 0.0, 0, time.monotonic()
            try:
                told = one(folder, which)
                found = {**told, **{f"{which} {key}": value for key, value in told.items()}, **found}
            except IvxError as error:
                found = {"refused": str(error)}
            except BaseException as error:  # what no page expects
                found = {"traceback": f"{type(error).__name__}: {error}"}
        own = [*allowed, *(os.path.realpath(folder / part) for part in ("base", "adapter", "packed.gguf"))]
        strange = {path for path in watch.opened if not any(path == at or path.startswith(f"{at}/") for at in own)}
        strange |= {str(path) for path in (folder / "outside").iterdir() if path.stat().st_atime > 1}
        found |= {
            "case": name,
            "seconds": round(time.monotonic() - began, 2),
            "gap": round(watch.gap, 2),
            "child": watch.child,
            "own": me.memory_info().rss,
            "outside": sorted(path for path in strange if "/ivx-" not in path),
        }
        print(json.dumps(found), flush=True)
    judge.ORIGINAL.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3] if len(sys.argv) > 3 else sys.stdin.read()))
