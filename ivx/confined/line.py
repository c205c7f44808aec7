"""Messages between processes: a length, and so many bytes."""

from __future__ import annotations

import socket

MOST = 64_000_000
"""Most bytes of a message."""
_HEADS = 8


def put(line: socket.socket, data: bytes) -> None:
    """Send one message."""
    line.sendall(len(data).to_bytes(_HEADS) + data)


def got(line: socket.socket) -> bytes:
    """One message; raises `EOFError` where there is none, or it is too long."""
    size = int.from_bytes(_exactly(line, _HEADS))
    if size > MOST:
        raise EOFError("too long")
    return _exactly(line, size)


def _exactly(line: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = line.recv(min(size - len(found), 1 << 20))
        if not piece:
            raise EOFError("closed")
        found += piece
    return bytes(found)
