"""The explore stage: evaluates the base, then asks Optuna for arms and trains them until the planned number has ended."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from sweep.errors import NoProgress
from sweep.records import Split, Stage, TrialRecord, TrialSpec
from sweep.search.study import AskedTrial, SearchStudy
from sweep.study.ahead import base_ahead
from sweep.study.session import Tell
from sweep.study.study_run import BudgetSpent, StudyRun


def explore(run: StudyRun, study: SearchStudy) -> None:
    """Runs the stage; every trial is evaluated on tune only.

    Raises:
        BudgetSpent: trials are left for a later run.
        NoTrialSucceeded: too many trials in a row failed, or the base could not be evaluated.
        NoProgress: the base or a trial ended in a way that does not count, so it would run again and again.
        Interrupted: the sweep was asked to stop; all finished trials are kept.
    """
    if study.record().base is None:
        run.run_all([run.base_spec(Split.TUNE)], tell=_complete_ones(study.set_base))
        if study.record().base is None:
            raise _no_progress(run, "the unadapted base's loss on tune")

    already = len(study.ended)
    run.display.planned(already + study.remaining, already)
    running: dict[int, AskedTrial] = {}  # by the number shown to people

    def ask() -> Iterator[TrialSpec | None]:
        begun = already
        while study.remaining > 0:
            if begun > len(study.ended) + len(running):
                raise _no_progress(run, f"{study.remaining} trials")
            if reason := run.over_budget(_expected_seconds(study)):
                raise BudgetSpent(reason, f"{study.remaining} trials are left for another run")
            begun += 1
            running[begun] = study.ask()
            yield run.spec(Stage.EXPLORE, running[begun].arm, run.plan.seed, report_every=study.report_every)
        yield from base_ahead(run, study, running)

    def tell(trial: TrialRecord) -> None:
        if trial.arm is not None:
            study.tell(running.pop(trial.number), trial.result, trial.run_id)
        elif trial.is_complete:  # else the certify stage evaluates it
            study.set_base_on_certify(trial)

    try:
        for trial in run.session.run(
            ask(),
            tell=tell,
            first=already + 1,
            should_prune=lambda number, step, loss: study.report(running[number], step, loss),
        ):
            if trial.arm is not None:
                run.count(trial)
    finally:
        for asked in running.values():
            study.interrupt(asked)
    if study.remaining > 0:
        raise _no_progress(run, f"{study.remaining} trials")


def _complete_ones(store: Tell) -> Tell:
    return lambda trial: store(trial) if trial.is_complete else None


def _no_progress(run: StudyRun, awaited: str) -> NoProgress:
    return NoProgress(
        f"the explore stage makes no progress: it waits for {awaited}, but its last trial ended without a result; finished "
        f"trials are kept, and the output of the workers is in {run.log}"
    )


def _expected_seconds(study: SearchStudy) -> float:
    """The median duration of the complete trials so far; 0 before the first one."""
    seconds = [trial.seconds for trial in study.ended if trial.is_complete]
    return median(seconds) if seconds else 0.0
