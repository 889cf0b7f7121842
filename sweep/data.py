"""`python -m sweep.data`: see `sweep.commands.data_report`."""

from __future__ import annotations

import sys

from sweep.commands.main import start

if __name__ == "__main__":
    sys.exit(start("data"))
