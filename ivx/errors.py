"""What ivx refuses, in one sentence each: what is wrong, where, and how to mend it.

Everything a user can cause is an `IvxError`; the command line prints it as one line and exits with 2, the app
draws it as a card. Any other exception is a fault of ivx.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger("ivx")


class IvxError(Exception):
    """A request ivx cannot fulfil as asked; the message is one sentence for the person who asked."""


class CheckpointError(IvxError):
    """A checkpoint cannot be found, read or trusted."""


class UnsupportedArchitecture(CheckpointError):
    """A fact that a patch relies on is unknown or untrue for this checkpoint."""


class MemoryRefused(CheckpointError):
    """The estimate of memory, made before weights are read, exceeds what is free or allowed."""


class TaskError(IvxError):
    """A task, a user's file or a sample of it cannot be used; names file, row and column where there are any."""


class AddressError(IvxError):
    """An address of the grammar `site.layer[.head]@position[~source]` that this model or prompt does not have."""


class Cancelled(Exception):
    """Raised by a caller's `on_rows` to end a sweep early; the model is left as it was."""


class Unanswered(Exception):
    """A confined process gave no answer; the message is the reason, in words."""


class Ended(Unanswered):
    """It took too much, or broke off: `took more than 20 s`."""


class Failed(Unanswered):
    """A library raised in it: the kind of error, and its first line."""


@contextmanager
def boundary(kind: type[IvxError], sentence: str, cure: str = "") -> Iterator[None]:
    """Whatever a library raises inside becomes `kind`: the sentence, the library's first line in brackets, the cure.

    The traceback goes to the log. What ivx itself raises passes through.
    """
    try:
        yield
    except (IvxError, Cancelled):
        raise
    except Exception as error:  # a library raises whatever its own parts do
        _LOG.debug("%s", sentence, exc_info=True)
        first = next(iter(str(error).strip().splitlines()), "")
        reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
        reason = first if isinstance(error, Unanswered) else reason
        raise kind(f"{sentence} ({reason}){': ' * bool(cure)}{cure}") from error
