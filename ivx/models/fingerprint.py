"""Fingerprints: hashes that identify a checkpoint's weights in a run id, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ivx.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OLDER = ("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "added_tokens.json")
"""What a tokenizer is made of where there is no tokenizer.json."""
_SHARED = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def of_directory(folder: Path) -> str:
    """SHA-256 over the weights, the config and the tokenizer of a checkpoint, 16 hexadecimal digits.

    They lie in a directory, or all in one GGUF file.
    """
    digest = hashlib.sha256()
    if folder.is_file():
        with folder.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    names = sorted(path.name for path in folder.glob("*.safetensors")) + list(_SHARED)
    if not (folder / "tokenizer.json").is_file():
        names += _OLDER
    for path in (folder / name for name in names):
        if path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def with_adapter(base: str, adapter: Path) -> str:
    """SHA-256 over a checkpoint's fingerprint and the files of an adapter that is merged into it, 16 hex digits.

    Raises:
        CheckpointError: one of the files is not there.
    """
    digest = hashlib.sha256(base.encode())
    for path in (adapter / "adapter_config.json", adapter / "adapter_model.safetensors"):
        if not path.is_file():
            raise CheckpointError(f"{adapter} holds no {path.name}: ivx reads safetensors adapters only")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
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
