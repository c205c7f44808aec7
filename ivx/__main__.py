"""`python -m ivx`."""

from __future__ import annotations

import sys

from ivx.cli.main import main

sys.exit(main(sys.argv[1:]))
