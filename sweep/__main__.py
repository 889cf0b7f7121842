"""`python -m sweep +study=NAME`: runs a study, or goes on where it stopped, and ends with a table and a verdict.

Imports nothing heavy: `--help` answers at once, and a mistake in the configuration is told before anything is loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.signals import end_at_once

if TYPE_CHECKING:
    from sweep.records import StudyPlan, StudyRecord


def study(plan: StudyPlan) -> float | None:
    """Runs the study that a configuration describes; returns the best loss."""
    from sweep.data import load_splits
    from sweep.paths import Paths

    paths = Paths.here()
    splits = load_splits(plan.foundation.task, paths)

    from sweep.report.closing import console, print_outcome
    from sweep.report.files import write_report
    from sweep.report.pages import write_page
    from sweep.report.progress import LiveDisplay
    from sweep.study.run import run_study
    from sweep.study.stopping import StopRequest
    from sweep.verdict.conclude import conclude

    def write(record: StudyRecord) -> list[Path]:
        """Writes the report; names the small files, which are kept with the MLflow run, too."""
        conclusion = conclude(record)
        files = write_page(record, conclusion, paths, tracking_uri=plan.tracking_uri)
        return [file for file in (*files, *write_report(record, conclusion, paths)) if file.suffix != ".html"]

    out = console()
    with StopRequest().listening() as stop, LiveDisplay(out) as display:
        for warning in splits.warnings:
            display.note(warning)
        outcome = run_study(plan, splits, paths, display, stop, write)
    print_outcome(outcome.record, paths, plan.tracking_uri, out)
    best = outcome.record.best()
    return best.result.measures.loss if best and best.result.measures else None


def main() -> int:
    """The command; returns its exit code."""
    # before what takes a while to import: a signal in the first moments is one like any other
    end_at_once()
    from sweep.command import run
    from sweep.config.app import run_app
    from sweep.data import problems_of
    from sweep.study.options import option_problems

    return run(lambda: run_app(study, problems_of, option_problems))


if __name__ == "__main__":
    sys.exit(main())
