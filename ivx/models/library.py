"""transformers, entered by one thread at a time.

While it reads a checkpoint it sets state of the whole process, the default dtype among it: two threads that read at
once get tensors of each other's dtype. While it imports its parts it hands out modules that are half there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ivx.errors import CheckpointError, boundary
from ivx.models import dequantised, gguf, judge, stranger
from ivx.models.alone import Alone
from ivx.models.contents import contents_of

ALONE = Alone()
"""Held by whoever imports transformers, or reads with it."""


@contextmanager
def quietly() -> Iterator[None]:
    """Without its progress bars, and without its own account of tensors, which ivx judges."""
    from transformers.utils import logging

    noisy, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if noisy:
            logging.enable_progress_bar()


def layers(folder: Path) -> int:
    """How many layers a checkpoint's text model has where config.json leaves that to the architecture's default."""
    judge.refuse_unjudged(folder, name=str(folder))
    with ALONE:
        from transformers import AutoConfig

        with contents_of(folder, name=str(folder)).alone() as place:
            found = AutoConfig.from_pretrained(place, trust_remote_code=False, local_files_only=True)
        return int(found.get_text_config(decoder=True).num_hidden_layers)


def tokenizer(folder: Path, *, name: str) -> Any:
    """The tokenizer in a checkpoint's directory or GGUF file; a stranger's is judged, and stays in a confined process.

    Raises:
        CheckpointError: none can be read, or not within bounds.
    """
    if judge.is_trusted(folder):
        return read_tokenizer(folder, name=name)
    judge.refuse_unjudged(folder, name=name)
    return stranger.Tokenizer(folder, name=name)


def read_tokenizer(folder: Path, *, name: str) -> Any:
    """The tokenizer, read by transformers here and now; raises `CheckpointError` where none can be read."""
    told = f"{name}: {folder} has no tokenizer that can be read"
    if gguf.is_one(folder):
        with ALONE, boundary(CheckpointError, told, "use the checkpoint that it was made from"):
            return dequantised.tokenizer_of(folder, name=name)
    with ALONE, boundary(CheckpointError, told, "copy tokenizer.json beside the weights"):
        from transformers import AutoTokenizer

        with contents_of(folder, name=name).alone() as place:
            found = AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
        found.name_or_path = str(folder)
        return found
