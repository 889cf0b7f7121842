"""`report`: rebuilds a study's report from its records alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sweep.console.command import key_values, run
from sweep.console.command_line import program
from sweep.errors import ConfigurationError

USAGE = "study=NAME [compare=OTHER] [storage=URL]"
ABOUT = """Rebuilds a study's table, verdict.json and page (index.html) from its records; trains nothing and loads no model.
compare=OTHER writes one page with both studies instead: mlruns/reports/NAME/compare-OTHER.html."""


def report(words: Sequence[str]) -> int:
    """Rebuilds a study's report; returns the exit code."""
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('report')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = key_values(words, ("study", "compare", "storage"))
    if len(keys.get("study", [])) != 1:
        raise ConfigurationError(f"study: name one study ({program('report')} {USAGE})")
    if len(keys.get("compare", [])) > 1 or keys.get("compare") == keys["study"]:
        raise ConfigurationError(f"compare: name one other study ({program('report')} {USAGE})")

    from sweep.search.reading import study_of
    from sweep.search.storage import existing_storage
    from sweep.store.paths import Paths

    paths = Paths.here()

    with existing_storage(keys["storage"][0] if "storage" in keys else None, paths) as storage:
        record, *others = [study_of(storage, name) for name in (*keys["study"], *keys.get("compare", []))]
    if others:
        from sweep.reports.files import write_comparison
        from sweep.reports.steps import shown

        print(shown(write_comparison(record, others[0], paths)))
        return 0

    from sweep.reports.closing import console, print_outcome
    from sweep.reports.files import write_page, write_report
    from sweep.reports.steps import recorded_tracking
    from sweep.verdict.conclude import conclude

    conclusion = conclude(record)
    tracking_uri = recorded_tracking(record)
    write_page(record, conclusion, paths, tracking_uri)
    write_report(record, conclusion, paths)
    print_outcome(record, paths, tracking_uri, console())
    return 0


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: report(sys.argv[1:]))
