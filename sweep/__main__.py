"""`python -m sweep +study=NAME`: runs a study, or resumes it, and ends with a table and a verdict."""

from __future__ import annotations

import sys

from sweep.console.signals import end_at_once


def main() -> int:
    """The command; returns its exit code."""
    end_at_once()  # before the slow imports, so that a signal in the first moments is handled, too
    from sweep.commands.study import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
