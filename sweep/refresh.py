"""`python -m sweep.refresh`: see `sweep.commands.refresh`."""

from __future__ import annotations

import sys

from sweep.commands.main import start

if __name__ == "__main__":
    sys.exit(start("refresh"))
