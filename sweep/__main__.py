"""`python -m sweep` and the console command `goldilocks`: see `sweep.commands.main`."""

from __future__ import annotations

import sys

from sweep.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
