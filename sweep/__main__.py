"""`python -m sweep +study=NAME`: runs a study, or goes on where it stopped, and ends with a table and a verdict.

Imports nothing heavy: `--help` answers at once, and a mistake in the configuration is told before anything is loaded.
"""

from __future__ import annotations

import sys

from sweep.command import run
from sweep.config.app import run_app
from sweep.data import problems_of
from sweep.records import StudyPlan


def study(plan: StudyPlan) -> float | None:
    """Runs the study that a configuration describes; returns the best loss."""
    from sweep.data import load_splits
    from sweep.paths import Paths

    paths = Paths.here()
    splits = load_splits(plan.foundation.task, paths)

    from sweep.report.closing import console, print_outcome
    from sweep.report.files import write_report
    from sweep.report.progress import LiveDisplay
    from sweep.study.explore import explore
    from sweep.study.stopping import StopRequest

    out = console()
    with StopRequest().listening() as stop, LiveDisplay(out) as display:
        for warning in splits.warnings:
            display.note(warning)
        explored = explore(plan, splits, paths, display, stop)
    write_report(explored.record, paths)
    print_outcome(explored.record, paths, plan.tracking_uri, out)
    best = explored.record.best()
    return best.result.measures.loss if best and best.result.measures else None


if __name__ == "__main__":
    sys.exit(run(lambda: run_app(study, problems_of)))
