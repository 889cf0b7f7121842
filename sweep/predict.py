"""`python -m sweep.predict`, see `sweep.commands.predict`."""

from __future__ import annotations

import sys

from sweep.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
