"""`python -m ivx`."""

from __future__ import annotations

import sys

from ivx.cli import main

sys.exit(main(sys.argv[1:]))
