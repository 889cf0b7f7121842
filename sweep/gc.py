"""`python -m sweep.gc`: see `sweep.commands.gc`."""

from __future__ import annotations

import sys

from sweep.commands.main import start

if __name__ == "__main__":
    sys.exit(start("gc"))
