"""`train`: one trial, by the same code path as a study's.

Returns its objective (the loss on tune), so that `-m lora.r=4,8` works with any Hydra sweeper or launcher.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.records import StudyPlan


def trial(plan: StudyPlan) -> float:
    """Trains the arm that a configuration describes; returns its loss on tune."""
    from sweep.commands.data import load_data
    from sweep.store.paths import Paths

    paths = Paths.here()
    plan, splits = load_data(plan, paths)

    from sweep.config.units import show_bytes
    from sweep.reports.closing import console, shown
    from sweep.reports.progress import LiveDisplay
    from sweep.store.trials import TrialStore
    from sweep.study.single import train_single
    from sweep.study.stopping import StopRequest

    paths.log(plan.name).parent.mkdir(parents=True, exist_ok=True)  # here, where it is explained if that fails
    out = console()
    with StopRequest().listening() as stop, LiveDisplay(out) as display:
        for warning in (*splits.notes, *splits.warnings):
            display.note(warning)
        display.planned(1, 0)
        record = train_single(plan, paths, display, stop)
    adapter = TrialStore(paths).adapter_folder(record.spec)
    out.print(f"adapter: {shown(adapter)} ({show_bytes(record.measures.adapter_bytes)})", soft_wrap=True)
    if limits := plan.setup.task.limits:
        out.print(f"limits: {limits}", soft_wrap=True)
    stop.check()  # asked in the last moment: a multirun must not go on with the next job
    return record.loss


def main() -> int:
    """The command; returns its exit code."""
    from sweep.commands.help import TRAIN, asks_for_help, print_usage

    if asks_for_help(sys.argv[1:]):
        return print_usage(TRAIN)
    from sweep.commands.app import run_app
    from sweep.commands.plan import show_trial_plan
    from sweep.console.command import run
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of

    return run(lambda: run_app(trial, problems_of, option_problems, show_trial_plan, searches=False))
