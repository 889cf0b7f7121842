"""`python -m sweep.ui`: see `sweep.commands.ui`."""

from __future__ import annotations

import sys

from sweep.commands.main import start

if __name__ == "__main__":
    sys.exit(start("ui"))
