"""A program whose copies do what a confined process must not be able to."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ivx.confined.service import serve
from ivx.errors import TaskError


def refuse() -> None:
    raise TaskError("no such word: choose another word")


def loop() -> None:
    while True:
        pass


def write(size: int, path: str = "") -> str:
    place = Path(path or tempfile.gettempdir()) / ("" if path else "file")
    with place.open("wb") as file:
        file.write(b"x" * size)
    return str(place)


def connect() -> None:
    socket.create_connection(("127.0.0.1", 9))


if __name__ == "__main__":
    serve(
        {
            "twice": lambda value: 2 * value,
            "pid": os.getpid,
            "refuse": refuse,
            "fail": lambda: 1 / 0,
            "loop": loop,
            "sleep": lambda: time.sleep(60),
            "expression": lambda: bool(re.match("(a+)+$", "a" * 60 + "!")),
            "swell": lambda size: len(bytearray(size)),
            "text": lambda size: "x" * size,
            "connect": connect,
            "look_up": lambda: socket.getaddrinfo("localhost", 80),
            "run": lambda: subprocess.run([sys.executable, "-c", ""]).returncode,
            "fork": os.fork,
            "read": lambda path: Path(path).read_text(),
            "write": write,
        }
    )
