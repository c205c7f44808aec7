"""Which directories the app may read checkpoints from, and where it keeps what it made.

Python and the command line may read any directory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ivx.errors import CheckpointError, IvxError
from ivx.models import registry

ROOTS = "IVX_ROOTS"
"""Directories under which the app opens checkpoints, separated as in PATH; by default the working directory and, where
the app serves nobody but whoever started it, their home."""
CACHE = "IVX_CACHE"


def roots() -> list[Path]:
    """The allowed roots, resolved."""
    named = [part for part in os.environ.get(ROOTS, "").split(os.pathsep) if part]
    return [Path(part).expanduser().resolve() for part in named or [os.getcwd()]]


def readable() -> list[Path]:
    """The directories under which a checkpoint's own links may lead where no page asks: the roots, with one's home
    where none are set."""
    found = roots()
    if not os.environ.get(ROOTS):
        with suppress(RuntimeError):  # nobody's home
            found.append(Path.home().resolve())
    return found


def cache() -> Path:
    """Where results and compiled kernels are kept: `IVX_CACHE`; by default `cache/` of the checkout, or, where ivx is
    installed, the user's own folder of caches."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        own = checkout / "cache"
    else:
        own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "ivx"
    return resolved(Path(os.environ.get(CACHE) or own))


def resolved(folder: Path) -> Path:
    """A folder to write to, its links followed; raises `IvxError` for a loop of links, a NUL, or nobody's home."""
    try:
        return folder.expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        told = str(error).splitlines()[0][:200]
        raise IvxError(f"{str(folder)[:200]!r} leads to no folder ({told}): name another in {CACHE}") from error


def fetched(name: str) -> Path:
    """Where a checkpoint that is fetched by name lies; of one that was taught here, its base."""
    return cache() / "checkpoints" / (registry.fetched(name) or name)


def parts(name: str) -> tuple[str, str | None]:
    """The checkpoint and the adapter that `checkpoint+adapter` means; None where no adapter is named.

    So are those of a checkpoint that was taught here, by its name alone. Else the adapter is a directory; a file or
    directory whose own name has a plus in it is a checkpoint.
    """
    own = registry.taught(name)
    if own is not None and own.base is not None:
        return own.base, str(own.adapter)
    cuts = [k for k, letter in enumerate(name) if letter == "+" and 0 < k < len(name) - 1]
    try:
        if not cuts or Path(name).expanduser().exists():
            return name, None
        there = [k for k in cuts if Path(name[k + 1 :]).expanduser().is_dir()]
    except (OSError, ValueError, RuntimeError):  # what it is, is said where it is read
        return name, None
    cut = (there or cuts)[0]
    return name[:cut], name[cut + 1 :]


def within_roots(name: str, *, among: Sequence[Path] | None = None) -> str:
    """The name, if it is built in, fetched by name, a hub id, or a directory or file under one of the roots `among`,
    by default the allowed ones, links followed. Of a checkpoint with an adapter, both must be."""
    # Before anything resolves it: on some systems a look at a share already sends the user's credentials there.
    if "://" in name or any(part.startswith(("\\\\", "//")) for part in name.split("+")):
        raise CheckpointError(
            f"{name[:100]!r} is a share or an address of the net: give a hub id, or a directory of this disk"
        )
    if registry.embedded(name) or registry.fetched(name):
        return name
    base, adapter = parts(name)
    if adapter is not None:
        return f"{within_roots(base, among=among)}+{within_roots(adapter, among=among)}"
    try:
        looks_like_path = name.startswith((".", "/", "~", "\\")) or "\\" in name or name.count("/") != 1
        if not (looks_like_path or Path(name).exists()):
            return name
        place = Path(name).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, a loop of links, nobody's home
        raise CheckpointError(f"{name[:100]!r} is neither a directory nor a hub id: {error}") from error
    if not any(place.is_relative_to(root) for root in (roots() if among is None else among)):
        raise CheckpointError(
            f"{name[:100]!r} does not lie under a directory the app may read: start it with {ROOTS} set to one that "
            "holds it"
        )
    return str(place)
