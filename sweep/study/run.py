"""A whole study, stage after stage: explore, certify, final; or what is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.errors import EnvironmentLacks, Interrupted, NoTrialSucceeded
from sweep.records import CapacityRequest, Status, StudyPlan, StudyRecord
from sweep.search.explorer import Explorer
from sweep.search.space import largest_arm
from sweep.search.storage import StudyDatabase, opened_storage
from sweep.store.paths import Paths
from sweep.store.study_lock import study_lock
from sweep.store.trials import TrialStore
from sweep.study.certify import certify, score_test, test_is_scored
from sweep.study.checks import check_loaded, least_examples, loading_notes
from sweep.study.continuing import identity_to_go_on_with, studies_named
from sweep.study.display import Display
from sweep.study.explore import explore
from sweep.study.handed_out import make_again, missing_adapter
from sweep.study.invocation import Invocation
from sweep.study.next_step import Finish, next_step
from sweep.study.recording import summary, sweep_run, told
from sweep.study.rescoring import (
    outdated_certified,
    outdated_explored,
    rescore_certified,
    rescore_explored,
    with_examples_kept,
)
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.tracking import Refused, check_address, open_tracker, shown_store
from sweep.workers.pool import Pool
from tasks import Splits

Report = Callable[[StudyRecord], Sequence[Path]]
"""Writes the report of a record, and names the files that belong to the parent run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call leaves.

    Attributes:
        trained: how many trials this call ran.
        parent: the MLflow run of this call, or None if there was nothing to do.
    """

    record: StudyRecord
    trained: int
    parent: str | None


def run_study(
    plan: StudyPlan, splits: Splits, paths: Paths, display: Display, stop: StopRequest, report: Report
) -> Outcome:
    """Runs the study to its end, or goes on where an earlier call ended.

    Raises:
        StudyBusy: another sweep of this study is running.
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: too many trials in a row failed, or none is complete in the end.
        Interrupted: a person or the system asked to stop; all that is finished is kept.
    """
    check_address(plan.tracking_uri, paths)
    with (
        study_lock(paths, plan.name),
        opened_storage(plan.storage_url, paths, say=display.note, check=stop.check) as storage,
    ):
        identity = identity_to_go_on_with(plan, splits.data_hash, storage)
        _tell_if_new(plan, identity, storage, display)
        explorer = Explorer(plan, storage, identity, splits.data_hash)
        if explorer.reaped:
            display.note(f"{explorer.reaped} trial(s) that an earlier, killed call left are asked for again")
        kept = with_examples_kept(plan, explorer.record())
        if kept != plan:
            display.note(
                f"evaluate.certify_examples={plan.setup.scoring.certify_examples} is below the "
                f"{kept.setup.scoring.certify_examples} that the verdict rests on already; those stay"
            )
            plan = kept
        if _is_done(plan, explorer) and not missing_adapter(explorer.record(), TrialStore(paths, display.note), paths):
            record = _some_complete(explorer.record())
            _complete_recording(plan, paths, display, explorer, identity, report(record))
            return Outcome(record, 0, parent=None)
        return _run(plan, splits.data_hash, paths, display, stop, explorer, identity, report)


def _run(
    plan: StudyPlan,
    data_hash: str,
    paths: Paths,
    display: Display,
    stop: StopRequest,
    explorer: Explorer,
    identity: str,
    report: Report,
) -> Outcome:
    files: Sequence[Path] = ()
    started = time.monotonic()
    capacity_request = CapacityRequest(plan.slots, largest_arm(plan), plan.training, plan.seed, plan.workers)
    with Pool(
        plan.setup,
        paths,
        plan.workers,
        plan.name,
        capacity_request,
        data_hash=data_hash,
        least=least_examples(plan),
    ) as pool:
        display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
        pool.start()
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        store = TrialStore(paths, display.note)
        parent = tracker.open_sweep(sweep_run(plan, identity, told(explorer.record(), store)))
        recording = {"store": shown_store(plan.tracking_uri, paths), "run": parent}
        explorer.remember_recording({**recording, "open": True})
        explorer.remember_run_page((tracker.link(parent) or "").replace(parent, "{run}") or None)
        status = Status.FAILED
        try:
            loaded = pool.load(stop.check)
            check_loaded(plan, loaded, explorer.record().all_trials(), searched=True)
            for note in loading_notes(plan, loaded):
                display.note(note)
            explorer.remember_available(loaded.examples)
            if loaded.capacity is not None:
                plan = replace(plan, slots=loaded.capacity.slots)
                explorer.remember_parallel(plan.parallel)
            if plan.certify or explorer.remaining() > 1:
                pool.start_all()
            display.study(plan, explorer.record())
            with Session(pool, tracker, parent, store, display, stop, explorer.beat) as session:
                call = Invocation(plan, paths, display, session, loaded, started)
                within_budget = _stages(call, explorer)
                make_again(call, explorer.record())
            record = explorer.record()
            if within_budget:
                _some_complete(record)
            files = report(record)
            status = Status.COMPLETE
        except Interrupted:
            status = Status.INTERRUPTED
            raise
        finally:
            found = summary(explorer.record())
            closed = tracker.close_sweep(parent, status, found, files)
            explorer.remember_recording({**recording, "open": not closed, "tags": dict(found.tags)})
    return Outcome(record, call.trained, parent)


def _complete_recording(
    plan: StudyPlan, paths: Paths, display: Display, explorer: Explorer, identity: str, files: Sequence[Path]
) -> None:
    """Ends the parent run of a call that was killed after its last trial, and keeps MLflow's verdict that of the record.

    MLflow is opened only where that is needed; a store that is away is left for another call.
    """
    known = explorer.recording
    if known is None or known["store"] is None or known["store"] != shown_store(plan.tracking_uri, paths):
        return
    record = explorer.record()
    found = summary(record)
    if not known["open"] and known["tags"] == found.tags:
        return
    try:
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        tracker.resume_sweep(known["run"], sweep_run(plan, identity, told(record, TrialStore(paths))))
        closed = tracker.close_sweep(known["run"], Status.COMPLETE, found, files)
    except Refused:
        closed = True  # a person has deleted the run
    except EnvironmentLacks as error:
        display.note(f"the sweep's MLflow run is not complete yet: {error.problems[0].splitlines()[0]}")
        return
    explorer.remember_recording({**known, "open": not closed, "tags": dict(found.tags)})


def _stages(call: Invocation, explorer: Explorer) -> bool:
    """Explore, certify, final; answers whether explore came to its end."""
    if not rescore_explored(call, explorer) or not explore(call, explorer):
        return False
    if not call.plan.certify:
        return True
    best = _some_complete(explorer.record()).best()
    assert best is not None
    certified = explorer.certified(best.arm)
    certified.begin(call.plan.declaration, best.arm)
    if rescore_certified(call, explorer, certified) and certify(call, explorer, certified):
        score_test(call, explorer, certified)
    return True


def _is_done(plan: StudyPlan, explorer: Explorer) -> bool:
    record = explorer.record()
    if record.base is None or explorer.remaining() > 0 or outdated_explored(plan, record):
        return False
    best = record.best()
    if not plan.certify or best is None:
        return True
    if record.certification is None or not explorer.certified(best.arm).is_current:
        return False
    if outdated_certified(plan, record.certification):
        return False
    return isinstance(next_step(plan, record), Finish) and test_is_scored(plan, record)


def _tell_if_new(plan: StudyPlan, identity: str, storage: StudyDatabase, display: Display) -> None:
    known = list(studies_named(storage, plan.name))
    if known and identity not in known:
        display.note(
            f"study '{plan.name}' was run before with another search space, data or recipe; results are not mixed: this "
            f"is a new study ({plan.name}@{identity}), the earlier one is kept ({plan.name}@{known[0]})"
        )


def _some_complete(record: StudyRecord) -> StudyRecord:
    if not record.complete():
        reasons = [f"  {trial.spec.name}: {trial.status.value}: {trial.result.reason}" for trial in record.trials]
        raise NoTrialSucceeded(
            "\n".join(["no trial is complete:", *reasons[-10:], "raise search.trials to try more arms"])
        )
    return record
