"""The suite runs offline, on two threads' worth of a small machine, with a store of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["IVX_CACHE"] = tempfile.mkdtemp(prefix="ivx-store-")
atexit.register(shutil.rmtree, os.environ["IVX_CACHE"], ignore_errors=True)

import torch  # noqa: E402  (after the environment is set)

torch.set_num_threads(1)
