"""Documents: small JSON values, each sealed with a hash of itself and of the place it belongs to.

A sealed value is a line of JSON, `{"sha256":"…","value":…}`. The hash is compared on the bytes, before they are parsed;
a document that was cut, changed or moved to another place does not open. Objects keep the order of their names.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ivx.store.files import Damaged

LIMIT = 64_000_000
"""Bytes of the largest document."""

_HEAD, _BODY, _TAIL = b'{"sha256":"', b'","value":', b"}\n"


def seal(value: Any, place: str) -> bytes:
    """A value, made of what JSON knows, sealed for `place`, such as `0123456789ab/receipt`."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return _HEAD + _hash(text, place) + _BODY + text + _TAIL


def unseal(data: bytes, place: str) -> Any:
    """The value of `seal`; raises `Damaged` for any other bytes, and for another place's."""
    start = len(_HEAD) + 64 + len(_BODY)
    text = data[start : -len(_TAIL)]
    if data != _HEAD + _hash(text, place) + _BODY + text + _TAIL:
        raise Damaged("does not match its checksum")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged("is no JSON that can be read") from None


def _hash(text: bytes, place: str) -> bytes:
    return hashlib.sha256(place.encode() + b"\0" + text).hexdigest().encode()
