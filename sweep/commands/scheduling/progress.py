"""How far a scheduled study has come, from its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.errors import GoldilocksError
from sweep.nightly.schedule import Schedule
from sweep.nightly.studies import Progress, in_environment, read_environment
from sweep.store.paths import Paths

if TYPE_CHECKING:
    from sweep.records import StudyPlan, StudyRecord


def plan_of(schedule: Schedule) -> StudyPlan:
    """The study that the schedule's words describe; its data is not read.

    Raises:
        ConfigurationError: they describe none.
    """
    from sweep.commands.app import composed_plan

    return composed_plan(schedule.words)


def progress_of(schedule: Schedule, paths: Paths) -> Progress:
    """The progress of the schedule's study; nothing is known of one that has no record, or whose database cannot be read."""
    from sweep.search.reading import studies_of
    from sweep.search.storage import existing_storage

    try:
        with in_environment(read_environment(schedule.environment, paths.root.parent)):
            plan = plan_of(schedule)
            with existing_storage(plan.storage_url, paths) as storage:
                record = studies_of(storage, plan.name)[0]
    except GoldilocksError:  # the study itself says what is wrong
        return Progress()
    trained = (*record.trials, *(record.certification.trained() if record.certification else ()))
    return Progress(sum(trial.is_complete for trial in trained), is_finished(record))


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
