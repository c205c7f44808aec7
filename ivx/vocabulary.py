"""The words of the method that more than one module names: controls, directions and places."""

from __future__ import annotations

from ivx.engine.address import ABLATIONS

DIRECTIONS = ("denoise", "noise", *ABLATIONS, "resample")


CONTROLS = ("task", "random", "neutral", "shuffled")


SCAN_CONTROLS = ("task", "random", "identity", "aggregation")
