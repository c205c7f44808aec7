"""Where a checkpoint's files are, and whether they can be trusted: found before anything is read into memory."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from safetensors import SafetensorError, safe_open

from ivx.errors import CheckpointError
from ivx.models import fields, gguf, origin, paths, registry
from ivx.models.anatomy import WRAPPERS
from ivx.models.contents import CONFIG, Contents, contents_of
from ivx.models.quantisation import refuse_unreadable
from ivx.models.registry import CHECKPOINTS, FETCHED, PLANTED, TAUGHT, embedded

WANTED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]
"""What is fetched from the hub: nothing that would have to be unpickled."""

HUB_TIMEOUT = 5.0


def locate(name: str, *, fetch: bool = True) -> Path:
    """The directory of a built-in name, a local path, or a hub id (`org/name[@revision]`), cached or, if `fetch`,
    fetched.

    A local path may also be a GGUF file, or a directory that holds one and no safetensors: then it is that file.
    Of a checkpoint with an adapter (`checkpoint+adapter`) it is the checkpoint's.
    """
    asked = name
    name, _ = paths.parts(name)
    known = embedded(name)
    if known is not None:
        assert known.path is not None
        if not known.path.is_dir():
            raise CheckpointError(f"{name} is not in {known.path.parent}: make it with `python -m ivx.tiny`")
        return known.path
    if registry.fetched(name):
        folder = paths.fetched(name)
        if not (folder / origin.NAME).is_file():
            what = name if asked == name else f"{name}, which {asked} is an adapter of,"
            raise CheckpointError(f"{what} is not on this machine yet: fetch it with `python -m ivx get {name}`")
        return folder
    try:
        folder = Path(name).expanduser()
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL in it, or of a home that there is none of
        raise CheckpointError(f"{name!r:.80} cannot be a path on this machine: give another one") from None
    if is_folder:
        return gguf.only_in(folder, name=name) or folder
    if gguf.is_one(folder):
        return folder
    if there:
        raise CheckpointError(
            f"{name} is a file, not a checkpoint: give the directory that holds its config.json, or a GGUF file (.gguf)"
        )
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or "\\" in name:
        near = difflib.get_close_matches(name, [c.name for c in (*CHECKPOINTS, *PLANTED, *FETCHED, *TAUGHT)], n=1)
        hint = f"did you mean {near[0]}?" if near else "built in are " + ", ".join(c.name for c in CHECKPOINTS)
        raise CheckpointError(f"there is no checkpoint or directory {name!r}: {hint}")
    return _from_hub(name, fetch=fetch)


def _from_hub(name: str, *, fetch: bool) -> Path:
    repo, _, revision = name.partition("@")
    cached: Path | None = None
    try:
        cached = Path(snapshot_download(repo, revision=revision or None, allow_patterns=WANTED, local_files_only=True))
        check_weights(cached, name=name)
        return cached
    except (LocalEntryNotFoundError, FileNotFoundError, CheckpointError):
        pass  # nothing of it was fetched, or a fetch was cut short
    except HFValidationError as error:
        raise CheckpointError(f"{name!r} is neither a directory nor a hub id such as org/name@revision") from error
    if not fetch:
        raise CheckpointError(f"{name} was not fetched from the hub to this machine, or not all of it")
    if _is_cut_off():
        if cached is not None:
            return cached  # what it lacks is said where it is read
        raise _cut_off(name)
    with _asking_the_hub(name):
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=WANTED))


def hub_bytes(name: str) -> int:
    """How many bytes of a hub id (`org/name[@revision]`) would be fetched; nothing is.

    Raises:
        CheckpointError: the hub cannot be reached, or has nothing of that name.
    """
    repo, _, revision = name.partition("@")
    if _is_cut_off():
        raise _cut_off(name)
    with _asking_the_hub(name):
        tree = list(HfApi().list_repo_tree(repo, revision=revision or None))
    return sum(
        one.size for one in tree if isinstance(one, RepoFile) and any(fnmatch(one.path, like) for like in WANTED)
    )


def _cut_off(name: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is not on this machine and the hub cannot be reached: give a local directory, or fetch it where there "
        f"is a connection with `hf download {name.partition('@')[0]}`"
    )


@contextmanager
def _asking_the_hub(name: str) -> Iterator[None]:
    """What the hub's client raises becomes one sentence."""
    repo, _, revision = name.partition("@")
    try:
        yield
    except HFValidationError as error:
        raise CheckpointError(f"{name!r} is neither a directory nor a hub id such as org/name@revision") from error
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repo} is gated: accept its terms on the hub, then set HF_TOKEN or run `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{repo} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"the hub has no model {repo!r}, or it is private and HF_TOKEN is not set") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, OSError) as error:
        kind = type(error).__name__
        raise CheckpointError(f"{name} could not be fetched from the hub ({kind}): try again") from error


def _is_cut_off() -> bool:
    return os.environ.get("HF_HUB_OFFLINE") == "1" or not _hub_answers()


def _hub_answers() -> bool:
    """Whether a connection opens, asked first because the client's own retries take minutes."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    host, _, port = endpoint.split("//")[-1].split("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port or 443)), timeout=HUB_TIMEOUT).close()
    except (OSError, ValueError):
        return False
    return True


def read_config(folder: Path, *, name: str) -> dict:
    """The checkpoint's config.json; refuses what holds no causal LM whose weights can be made floating point."""
    path, held = folder / CONFIG, contents_of(folder, name=name)
    if CONFIG not in held.files:
        raise CheckpointError(f"{name}: {folder} has no config.json, so it is not a checkpoint directory")
    config = held.document(CONFIG)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise CheckpointError(f"{name}: {path} names no model_type: copy it again")
    fields.refuse_nonsense(config, path, name=name)
    kinds = config.get("architectures") or ["CausalLM"]
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise CheckpointError(f"{name}: architectures in {path} is not a list of names: copy it again")
    holds_one = config["model_type"] in WRAPPERS and kinds[0].endswith("ForConditionalGeneration")
    if not holds_one and not any("CausalLM" in kind or "LMHead" in kind for kind in kinds):
        wrapper = "ForConditionalGeneration" in kinds[0] or "text_config" in config
        raise CheckpointError(
            f"{name} is a {kinds[0]}, a wrapper of a text model and others (images, audio), of which ivx does not know "
            f"that its text part is a model of its own (known: {', '.join(sorted(WRAPPERS))}): save that by itself"
            if wrapper
            else f"{name} is a {kinds[0]}, not a causal language model: ivx reads next-token logits"
        )
    inner = config.get("text_config")
    for told in (config, inner if isinstance(inner, dict) else {}):
        refuse_unreadable(told, name=name)
    return config


def check_weights(folder: Path, *, name: str) -> Contents:
    """The files of a directory, in which every shard is there, is safetensors, and is as long as its header says.

    Raises:
        CheckpointError: one is not; the index names anything else; a file is none, or a link that leads elsewhere.
    """
    held = contents_of(folder, name=name)
    shards = [folder / own for own in held.weights]
    if not shards:
        other = next((p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")), None)
        found = f"only {other}, which would have to be unpickled" if other else "no weights"
        raise CheckpointError(
            f"{name}: {folder} holds {found}; ivx reads safetensors only: save it again with save_pretrained"
        )
    for shard in shards:
        try:
            _names(shard)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{name}: {shard} is broken ({error}): copy it again") from error
    return held


def _names(shard: Path) -> list[str]:
    with safe_open(shard, framework="numpy") as file:  # torch's way maps it to be written to, which counts as memory
        return list(file.keys())
