"""`python -m sweep +study=NAME`: runs a study, or goes on where it stopped, and ends with a table and a verdict.

Imports nothing heavy: `--help` answers at once, and a mistake in the configuration is told before anything is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.records import StudyPlan, StudyRecord


def study(plan: StudyPlan) -> float | None:
    """Runs the study that a configuration describes; returns the best loss."""
    from sweep.store.paths import Paths
    from sweep.training.splits import load_splits

    paths = Paths.here()
    splits = load_splits(plan.setup.task, paths)

    from sweep.reports.closing import console, print_outcome
    from sweep.reports.files import write_page, write_report
    from sweep.reports.progress import LiveDisplay
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
    return best.loss if best else None


def main() -> int:
    """The command; returns its exit code."""
    from sweep.commands.app import run_app
    from sweep.console.command import run
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of

    return run(lambda: run_app(study, problems_of, option_problems))
