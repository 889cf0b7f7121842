"""`python -m sweep.doctor`, see `sweep.commands.doctor`."""

from __future__ import annotations

import sys

from sweep.commands.doctor.command import main

if __name__ == "__main__":
    sys.exit(main())
