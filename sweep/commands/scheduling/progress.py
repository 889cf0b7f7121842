"""How far a scheduled study has come, from its records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.errors import ConfigurationError, GoldilocksError
from sweep.nightly.schedule import Schedule
from sweep.nightly.studies import Progress, in_environment, read_environment
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshLog

if TYPE_CHECKING:
    from sweep.records import StudyPlan, StudyRecord, TrialRecord


def plan_of(schedule: Schedule) -> StudyPlan:
    """The study that the schedule's words describe; its data is not read.

    Raises:
        ConfigurationError: they describe none.
    """
    from sweep.commands.app import composed_plan

    return composed_plan(schedule.words)


def progress_of(schedule: Schedule, paths: Paths) -> Progress:
    """The progress of the schedule's study, over all data that it has had; with `refresh=true` that of its champion, too.

    A study that has no record has no trials. What cannot be read is not known, however it is damaged: other studies of the night go on.
    """
    try:
        return _progress(schedule, paths)
    except Exception:
        return Progress(None)


def _progress(schedule: Schedule, paths: Paths) -> Progress:
    try:
        records = _records(schedule, paths)
    except ConfigurationError:  # the study itself says what is wrong
        records = []
    trained = [trial for record in records for trial in _trained(record)]
    finished = is_finished(records[0]) if records else None
    if not schedule.refresh:
        return Progress(len(trained), finished)
    log = RefreshLog(paths.refresh_log(schedule.study))
    more = set(log.adapters) - {trial.spec.adapter for trial in trained}
    if Champions(paths, schedule.study).current() is not None:
        finished = not log.is_open
    return Progress(len(trained) + len(more), finished)


def _records(schedule: Schedule, paths: Paths) -> Sequence[StudyRecord]:
    """The records of all studies of this name, the latest first: other data begin another one."""
    from sweep.search.reading import studies_of
    from sweep.search.storage import existing_storage

    with in_environment(read_environment(schedule.environment, paths.root.parent)):
        plan = plan_of(schedule)
        with existing_storage(plan.storage_url, paths) as storage:
            return studies_of(storage, plan.name)


def _trained(record: StudyRecord) -> list[TrialRecord]:
    trials = (*record.trials, *(record.certification.trained() if record.certification else ()))
    return [trial for trial in trials if trial.is_complete]


def is_finished(record: StudyRecord) -> bool | None:
    """Whether the study, as last configured, has nothing left to do; None if unknown."""
    from sweep.config.load import plan_of_record
    from sweep.study.examples import with_examples_kept
    from sweep.study.final import is_evaluated_on_test
    from sweep.study.next_step import Finish, next_step

    try:
        plan = with_examples_kept(plan_of_record(record.config), record)
        if record.base is None or len(record.trials) < plan.search.trials:
            return False
        if not plan.certify:
            return True
        if record.certification is None:
            return False
        return isinstance(next_step(plan, record), Finish) and is_evaluated_on_test(plan, record)
    except (GoldilocksError, ValueError, KeyError, LookupError):  # a record of another version
        return None
