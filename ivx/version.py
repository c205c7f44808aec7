"""The version, of receipts and of the distribution alike."""

from __future__ import annotations

VERSION = "0.1.0"
