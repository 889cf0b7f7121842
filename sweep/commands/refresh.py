"""`refresh`: brings a study's champion up to date with data that have changed; what a nightly schedule calls."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from sweep.console.command_line import SCRIPT, called_as, command_line, pasteable, program, started_as_script, words_of

if TYPE_CHECKING:
    from sweep.records import StudyPlan
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths
    from tasks import Splits

USAGE = "+study=NAME [KEY=VALUE ...]"
ABOUT = """For data that change. Takes the words of the study's own command.

Without a champion it runs the study and takes the adapter of its verdict into use, once the study is
finished. With one it compares the data with those the champion was judged on:
  no row changed            nothing is trained
  the champion is good      it keeps its gain but for the margin: nothing is trained
  it is worse, or unclear   a challenger of its recipe is trained on the data, and promoted if it is not
                            inferior on the old examples and better on the new ones

The same command goes on where it was stopped; with budget.wall_clock no trial begins that would not end
in time. Then: python -m sweep.champion study=NAME"""


def refresh_study(plan: StudyPlan) -> float | None:
    """Refreshes the champion of the study that a configuration describes; returns nothing that a sweeper could use."""
    from sweep.commands.adoption import adopt, recorded_study
    from sweep.commands.data import load_data
    from sweep.commands.scheduling.progress import is_finished
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths

    paths = Paths.here()
    plan, splits = load_data(plan, paths)
    history = Champions(paths, plan.name)
    if history.current() is None:
        from sweep.commands.study import study

        # the study's own command goes into its records, which name the next steps
        with called_as((SCRIPT, "run") if started_as_script() else ("python", "-m", "sweep"), _words()):
            study(plan)
        if is_finished(recorded_study(plan.name, plan.storage_url, paths)) is False:
            print("No adapter was taken into use: the study is not finished, and the same command continues it.")
            return None
        adopt(plan.name, plan.storage_url, history, paths, None)
        _record(plan, splits, paths)
    else:
        _refresh(plan, splits, history, paths)
    _show(plan, splits, history, paths)
    return None


def _refresh(plan: StudyPlan, splits: Splits, history: Champions, paths: Paths) -> None:
    from sweep.reports.closing import console
    from sweep.reports.progress import LiveDisplay
    from sweep.store.locks import study_lock
    from sweep.study.refresh import refresh
    from sweep.study.stopping import StopRequest
    from sweep.study.study_run import BudgetSpent

    paths.log(plan.name).parent.mkdir(parents=True, exist_ok=True)  # here, where it is explained if that fails
    out = console()
    try:
        with study_lock(paths, plan.name), StopRequest().listening() as stop, LiveDisplay(out) as display:
            done = refresh(plan, splits, paths, display, stop)
    except BudgetSpent as spent:
        out.print(f"Not finished: {spent}. What is finished is kept, and the champion stays in use.")
        return
    if done.point is None:
        out.print("The data have not changed: nothing to do.")
    elif done.entry is None:
        out.print(f"The champion is good on the changed data ({done.point.change}): nothing was trained.")
    else:
        out.print(f"The data have changed ({done.point.change}). {done.entry.event.value}: {done.entry.reason}.")


def _record(plan: StudyPlan, splits: Splits, paths: Paths) -> None:
    """Registers the adapter that was taken into use."""
    from sweep.store.locks import is_held, say_on_stderr
    from sweep.study.recording import champion_recording
    from sweep.study.refresh import ended_trials

    recording = champion_recording(plan, splits, paths, say_on_stderr)
    recording.bring_up_to_date(lambda: ended_trials(plan, paths), alone=not is_held(paths.lock(plan.name)))


def _show(plan: StudyPlan, splits: Splits, history: Champions, paths: Paths) -> None:
    """Prints the history, the drift, and whether the study should be run again."""
    from sweep.records.champion import ChampionEvent
    from sweep.reports.champion_words import print_drift, print_history
    from sweep.reports.closing import console, shown
    from sweep.reports.drift_picture import draw_drift
    from sweep.store.drift import DriftLog
    from sweep.verdict.promotion.judge_again import why_judge_again
    from tasks.versions import DataVersion, change_between

    out, entries, points = console(), history.entries(), DriftLog(paths.drift(plan.name)).points()
    link = history.link()
    assert link is not None
    out.print()
    print_history(entries, shown(link), out)
    if points:
        draw_drift(points, paths.drift_picture(plan.name))
        print_drift(points, shown(paths.drift_picture(plan.name)), out)
    judged = history.rows(max(entry.number for entry in entries if entry.event is ChampionEvent.VERDICT))
    kept = change_between(judged, DataVersion.of(splits)).parts["train"].kept / max(1, len(judged.rows["train"]))
    own = [point.condition for point in points if point.version == entries[-1].version]
    if (reason := why_judge_again(entries[-1].promotions, kept, own)) is not None:
        out.print(
            f"Run the study again, `{pasteable(f'python -m sweep {shlex.join(_words())}')}`, and take its verdict into use, "
            f"`{pasteable(f'python -m sweep.champion study={plan.name} adopt=true')}`: {reason}.",
            soft_wrap=True,
        )


def _words() -> list[str]:
    """The words that describe the study, as typed."""
    return words_of(command_line())


def main() -> int:
    """The command; returns its exit code."""
    from sweep.commands.help import asks_for_help

    if asks_for_help(sys.argv[1:]):
        print(f"Usage: {program('refresh')} {USAGE}\n\n{ABOUT}")
        return 0
    from sweep.commands.app import run_app
    from sweep.commands.plan import show_study_plan
    from sweep.console.command import run
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of

    return run(lambda: run_app(refresh_study, problems_of, option_problems, show_study_plan))
