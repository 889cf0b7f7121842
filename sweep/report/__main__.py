"""`python -m sweep.report study=NAME`: the table and verdict.json again, from the records alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sweep.command import key_values, run
from sweep.errors import ConfigurationError

USAGE = "python -m sweep.report study=NAME [storage=URL]"


def report(words: Sequence[str]) -> int:
    """Rebuilds a study's report; returns the exit code."""
    if any(word in ("-h", "--help") for word in words):
        print(f"{USAGE}\n\nRebuilds the table and verdict.json of a study from its records; trains and loads nothing.")
        return 0
    keys = key_values(words, ("study", "storage"))
    if len(keys.get("study", [])) != 1:
        raise ConfigurationError(f"study: name one study: {USAGE}")

    from sweep.paths import Paths
    from sweep.report.closing import console, print_outcome
    from sweep.report.files import write_report
    from sweep.study.explorer import studies_of
    from sweep.study.storage import existing_storage

    paths = Paths.here()
    storage = existing_storage(keys["storage"][0] if "storage" in keys else None, paths)
    records = studies_of(storage, keys["study"][0])
    # the one opened last may have been stopped before anything in it was complete
    record = next((found for found in records if found.best()), records[0])
    write_report(record, paths)
    print_outcome(record, paths, None, console())
    return 0


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: report(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
