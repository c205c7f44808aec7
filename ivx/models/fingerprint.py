"""Fingerprints: hashes that identify a checkpoint's weights in a run id, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ivx.errors import CheckpointError
from ivx.models.contents import ADAPTED, ADAPTER, CONFIG, GENERATION, Contents, contents_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FIRST = (CONFIG, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""What follows the weights, in this order; everything else that is read comes behind it, by its name."""
_OLDER = ("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "added_tokens.json")
"""What a tokenizer is made of, which follows where there is no tokenizer.json."""


def of_directory(folder: Path) -> str:
    """SHA-256 over every file that is read of a checkpoint, 16 hexadecimal digits: those of a directory, or one GGUF.

    Of `generation_config.json` the tokens that end a text are read and nothing else; they count where config.json says
    others.

    Raises:
        CheckpointError: a file is none, cannot be read, or was changed meanwhile.
    """
    found = contents_of(folder, name=folder.name)
    if folder.is_file():
        whole = _hashed(found, folder.name).hex()[:16]
        found.refuse_change()
        return whole
    weights = [own for own in found.files if own.endswith(".safetensors")]
    older = _OLDER if "tokenizer.json" not in found.files else ()
    ordered = dict.fromkeys((*weights, *_FIRST, *older, *found.files))
    digest = hashlib.sha256()
    for own in ordered:
        if own == GENERATION:
            if _ends_otherwise(found):
                digest.update(f"{own} {json.dumps(found.ends())}".encode())
        elif own in found.files:
            digest.update(own.encode())
            digest.update(_hashed(found, own))
    found.refuse_change()
    return digest.hexdigest()[:16]


def _ends_otherwise(found: Contents) -> bool:
    told = found.document(CONFIG) if CONFIG in found.files else {}
    return found.ends() != told.get("eos_token_id")


def _hashed(found: Contents, own: str) -> bytes:
    """The SHA-256 of a file's bytes."""
    path = found.files[own].place
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise CheckpointError(f"{found.name}: {path} cannot be read ({error.strerror}): let ivx read it") from error


def with_adapter(base: str, adapter: Path) -> str:
    """SHA-256 over a checkpoint's fingerprint and the files of an adapter that is merged into it, 16 hex digits.

    Raises:
        CheckpointError: one of the files is not there.
    """
    digest = hashlib.sha256(base.encode())
    found = contents_of(adapter, name=adapter.name)
    for own in (ADAPTER, ADAPTED):
        if own not in found.files:
            raise CheckpointError(f"{adapter} holds no {own}: ivx reads safetensors adapters only")
        digest.update(_hashed(found, own))
    found.refuse_change()
    return digest.hexdigest()[:16]


def of_parameters(hf: PreTrainedModel) -> str:
    """SHA-256 of a model in memory, over its config and its parameters' names, shapes and bytes, 16 hex digits."""
    import torch  # late: a stored result is found without it

    config = {k: v for k, v in hf.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, value in hf.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
