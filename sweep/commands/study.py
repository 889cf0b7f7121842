"""`run`: runs a study, or resumes it, and ends with a table and a verdict.

Imports nothing heavy, so that a mistake in the configuration is reported before anything is loaded.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.records import StudyPlan, StudyRecord
    from sweep.store.paths import Paths


def write_reports(record: StudyRecord, *, paths: Paths, tracking_uri: str | None) -> list[Path]:
    """Writes page, verdict.json, pictures, tables and adapter; returns the files, which are also kept with the MLflow run."""
    from sweep.reports.files import write_page, write_report
    from sweep.verdict.conclude import conclude

    conclusion = conclude(record)
    page = write_page(record, conclusion, paths, tracking_uri=tracking_uri)
    return [*page, *write_report(record, conclusion, paths)]


def study(plan: StudyPlan) -> float | None:
    """Runs the study that a configuration describes; returns the best loss."""
    from sweep.commands.data import load_data
    from sweep.store.paths import Paths

    paths = Paths.here()
    plan, splits = load_data(plan, paths)

    from sweep.study.worker_pool import worker_pool
    from sweep.tracking import check_address

    check_address(plan.tracking_uri, paths)
    with worker_pool(plan, paths, splits.data_hash) as pool:
        log = paths.log(plan.name)
        expected = None
        # for a new study, the worker loads while this process imports the rest
        if plan.storage_url is None and not log.exists():
            log.parent.mkdir(parents=True, exist_ok=True)  # here, where it is explained if that fails
            pool.start()
            from sweep.commands.planning.expected import expected_words

            expected = expected_words(plan, splits, paths)

        from sweep.reports.closing import console, print_outcome
        from sweep.reports.progress import LiveDisplay
        from sweep.study.run import run_study
        from sweep.study.stopping import StopRequest

        write = partial(write_reports, paths=paths, tracking_uri=plan.tracking_uri)
        out = console()
        with StopRequest().listening() as stop, LiveDisplay(out, expected) as display:
            for warning in (*splits.notes, *splits.warnings):
                display.note(warning)
            outcome = run_study(plan, splits, paths, display, stop, write, pool)
    print_outcome(outcome.record, paths, plan.tracking_uri, out)
    best = outcome.record.best()
    return best.loss if best else None


def main() -> int:
    """The command; returns its exit code."""
    from sweep.commands.help import RUN, asks_for_help, print_usage

    if asks_for_help(sys.argv[1:]):
        return print_usage(RUN)
    from sweep.commands.app import run_app
    from sweep.commands.plan import show_study_plan
    from sweep.console.command import run
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of

    return run(lambda: run_app(study, problems_of, option_problems, show_study_plan))
