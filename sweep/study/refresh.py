"""Fresh data: brings the champion up to date with them, continuing where an earlier run ended.

Trials have the identities of any others, so a run that was killed finds in the store what it had finished.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from sweep.errors import GoldilocksError, Interrupted
from sweep.records import Status, StudyPlan, TrainedAdapter, trained_adapter_from_json
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.reports.page.escape import in_markdown
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from sweep.store.trials import TrialStore
from sweep.study.champion_night import ChampionNight, Refreshed
from sweep.study.display import Display
from sweep.study.recording import champion_recording, sweep_run, trials_by_run
from sweep.study.refresh_run import RefreshRun
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.study.study_run import BudgetSpent
from sweep.study.worker_pool import worker_pool
from sweep.tracking import KnownResults, Summary, check_address, names, open_tracker
from sweep.verdict.promotion import Condition
from tasks import Splits
from tasks.versions import DataVersion, change_between


def is_up_to_date(history: Champions, drift: DriftLog, after: DataVersion) -> bool:
    """Whether nothing is left to do for these data: they are those of the champion, or what they lead to is recorded."""
    entries = history.entries()
    version = entries[-1].version
    if not change_between(history.rows(version), after).is_change:
        return True
    point = drift.find(version, after.data_hash)
    if point is not None and point.condition == Condition.GOOD:
        return True
    return _answered(entries, after.data_hash)


def _answered(entries: Sequence[ChampionEntry], data_hash: str) -> bool:
    """Whether these data have led to an entry already. Nobody's rollback is undone before the data change again."""
    return any(each.data_hash == data_hash and each.event is not ChampionEvent.ROLLBACK for each in entries)


def trained_of(history: Champions) -> TrainedAdapter | None:
    """The training of the version in use, if it is recorded."""
    entries = history.entries()
    training = entries[entries[-1].version - 1].training
    return trained_adapter_from_json(dict(training)) if training else None


def refresh(plan: StudyPlan, splits: Splits, paths: Paths, display: Display, stop: StopRequest) -> Refreshed:
    """Brings the champion up to date with the data, continuing where an earlier run ended.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded, or is not the champion's; its adapter is damaged.
        NoTrialSucceeded: a trial did not end complete.
        BudgetSpent: `budget.wall_clock` allows no further trial; all finished ones are kept, and the next run continues.
        Interrupted: the run was asked to stop; all finished trials are kept.
    """
    started = time.monotonic()
    check_address(plan.tracking_uri, paths)
    log = RefreshLog(paths.refresh_log(plan.name))
    history, drift = Champions(paths, plan.name), DriftLog(paths.drift(plan.name))
    after = DataVersion.of(splits)
    recording = champion_recording(plan, splits, paths, display.note)
    if is_up_to_date(history, drift, after):
        recording.bring_up_to_date(lambda: ended_trials(plan, paths), alone=True)
        if log.is_open:
            log.add(RefreshEvent.ENDED, splits.data_hash)
        return Refreshed(None, None)
    scoring = replace(plan.setup.scoring, examples=len(splits.tune), certify_examples=len(splits.certify))
    plan = replace(plan, setup=replace(plan.setup, scoring=scoring))
    with worker_pool(plan, paths, splits.data_hash) as pool:
        display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
        pool.start()
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        recording.begin()
        parent = tracker.open_sweep(sweep_run(plan, "refresh", ended_trials(plan, paths)))
        status, summary, entry = Status.FAILED, Summary(), None
        try:
            loaded = pool.load(stop.check, display.note)
            with Session(pool, tracker, parent, TrialStore(paths, display.note), display, stop) as session:
                champion = trained_of(history)
                run = RefreshRun(plan, paths, display, session, loaded, started, steps=log, champion=champion)
                done = ChampionNight(run, splits, after, history, drift).refreshed()
            log.add(RefreshEvent.ENDED, splits.data_hash)
            status, summary, entry = Status.COMPLETE, _summary(done), recording.register(tracker)
        except BudgetSpent:
            log.add(RefreshEvent.PAUSED, splits.data_hash)
            status = Status.INTERRUPTED
            raise
        except Interrupted:
            status = Status.INTERRUPTED
            raise
        finally:
            if tracker.close_sweep(parent, status, summary, ()):
                recording.finish(tracker, entry)
    return done


def ended_trials(plan: StudyPlan, paths: Paths) -> KnownResults:
    """The trials that the study itself has finished, by MLflow run; of a killed study, some of their runs may be open still."""
    ended: KnownResults = {}
    with suppress(GoldilocksError), existing_storage(plan.storage_url, paths) as storage:
        for record in studies_of(storage, plan.name):
            ended = {**ended, **trials_by_run(record, TrialStore(paths))}
    return ended


def _summary(done: Refreshed) -> Summary:
    """What a night did, for its run."""
    if done.point is None:
        return Summary()
    if done.entry is None:
        version, event = done.point.version, str(Condition.GOOD)
        reason = f"the champion is good on the changed data ({done.point.change})"
    else:
        version, event, reason = done.entry.version, done.entry.event.value, done.entry.reason
    tags = {names.CHAMPION_VERSION: str(version), names.CHAMPION_EVENT: event, names.CHAMPION_REASON: reason}
    return Summary(tags={**tags, names.NOTE: f"{event}: {in_markdown(reason)}. In use: version {version}."})
