"""Runs a whole study: explore, certify and final stage, each continuing where an earlier run ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep.config.compute import with_compute_type
from sweep.config.load import plan_of_record, with_compute, with_ladder
from sweep.errors import ConfigurationError, NoTrialSucceeded
from sweep.methods import method_of
from sweep.records import AUTO_COMPUTE, Arm, StudyPlan, StudyRecord
from sweep.search.certification import StoredCertification, is_older_than_cuts
from sweep.search.storage import StudyDatabase, opened_storage
from sweep.search.study import SearchStudy
from sweep.store.fingerprints import given_base_hash
from sweep.store.identity import study_identity
from sweep.store.locks import study_lock
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.arm_costs import ladder_note, with_arm_costs
from sweep.study.certify import certify, to_try_again, try_failed_again
from sweep.study.checks import check_loaded, loading_notes
from sweep.study.display import Display
from sweep.study.examples import example_work, with_certify_examples, with_examples_kept
from sweep.study.explore import explore
from sweep.study.final import evaluate_on_test, is_evaluated_on_test, missing_adapter, restore_adapter
from sweep.study.next_step import Finish, next_step
from sweep.study.recording import complete_recording, open_sweep
from sweep.study.rescoring import (
    outdated_certified,
    outdated_explored,
    rescore_certified,
    rescore_explored,
)
from sweep.study.session import Session, StudyPaused
from sweep.study.stopping import StopRequest
from sweep.study.study_run import StudyRun
from sweep.study.worker_pool import worker_pool
from sweep.tracking import check_address, open_tracker
from sweep.workers.pool import Pool
from tasks import Splits

_HOW_RANKS_ARE_MADE = frozenset({"certify", "certify.ladder_by"})
"""Group and key of the command line that say it."""

Report = Callable[[StudyRecord], Sequence[Path]]
"""Writes the report of a record; returns the files to keep with the parent run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run.

    Attributes:
        trained: the number of trials that this run trained.
        parent: the MLflow run of the sweep; None if there was nothing to do.
    """

    record: StudyRecord
    trained: int
    parent: str | None


def run_study(
    plan: StudyPlan,
    splits: Splits,
    paths: Paths,
    display: Display,
    stop: StopRequest,
    report: Report,
    pool: Pool | None = None,
) -> Outcome:
    """Runs the study to its end, continuing where an earlier run ended.

    Args:
        pool: the plan's workers, if the first one is loading already.

    Raises:
        StudyBusy: another sweep of this study is running.
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: too many trials in a row failed, or no trial is complete.
        NoProgress: a stage would repeat itself for ever.
        Interrupted: the sweep was asked to stop; all finished trials are kept.
    """
    check_address(plan.tracking_uri, paths)
    started: list[Pool] = [] if pool is None else [pool]

    def while_waiting() -> None:
        stop.check()
        for each in started:
            each.read_ahead()

    with (
        study_lock(paths, plan.name),
        opened_storage(plan.storage_url, paths, say=display.note, check=while_waiting) as storage,
    ):
        plan = _with_compute_kept(plan, splits.data_hash, storage, paths, display)
        identity = identity_to_continue(plan, splits.data_hash, storage, paths)
        _note_if_new(plan, identity, storage, display)
        plan = _with_ladder_kept(plan, identity, storage, display)
        study = SearchStudy(plan, storage, identity, splits.data_hash)
        if study.requeued:
            display.note(f"{study.requeued} trial(s) that a killed run left unfinished will run again")
        plan = _with_examples_kept(plan, study.record(), display)
        if _is_done(plan, study) and not missing_adapter(study.record(), TrialStore(paths, display.note), paths):
            record = study.record()
            recipe_to_certify(plan, record)  # raises if no trial is complete
            complete_recording(plan, splits, study, paths, display, report(record))
            return Outcome(record, 0, parent=None)
        with pool or worker_pool(plan, paths, splits.data_hash) as workers:
            started[:] = [workers]
            return _run(plan, splits, workers, paths, display, stop, study, report)


def _run(
    plan: StudyPlan,
    splits: Splits,
    pool: Pool,
    paths: Paths,
    display: Display,
    stop: StopRequest,
    study: SearchStudy,
    report: Report,
) -> Outcome:
    started = time.monotonic()
    display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
    pool.use_timings(study.slot_timings)
    pool.start()
    tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
    store = TrialStore(paths, display.note)
    with open_sweep(plan, splits, study, tracker, store, paths) as sweep:
        loaded = pool.load(stop.check, display.note)
        check_loaded(plan, loaded, study.record().all_trials(), searched=True)
        plan = with_arm_costs(plan, loaded)
        if plan.certify and plan.declaration.arms:
            display.note(ladder_note(plan.declaration))
        for note in loading_notes(plan, loaded):
            display.note(note)
        study.set_available(loaded.examples)
        study.set_seen_before(splits.left_out)
        study.set_example_work(example_work(plan, loaded.tokens))
        if loaded.capacity is not None:
            plan = replace(plan, slots=loaded.capacity.slots)
            study.set_slot_timings(loaded.device, loaded.capacity.timings)
            study.set_parallel(plan.parallel)
        if plan.certify or study.remaining > 1:
            pool.start_all()
        display.study(plan, study.record())
        with Session(pool, tracker, sweep.run_id, store, display, stop, heartbeat=study.record_heartbeats) as session:
            run = StudyRun(plan, paths, display, session, loaded, started)
            try:
                _run_stages(run, study)
            except StudyPaused as pause:
                display.note(str(pause))
            restore_adapter(run, study.record())
        record = study.record()
        sweep.files = report(record)
    return Outcome(record, run.trained, sweep.run_id)


def _run_stages(run: StudyRun, study: SearchStudy) -> None:
    rescore_explored(run, study)
    explore(run, study)
    recipe = recipe_to_certify(run.plan, study.record())
    if not run.plan.certify:
        return
    stored = study.certification(recipe)
    stored.begin(run.plan.declaration)
    _settle_examples(run, study, stored)
    rescore_certified(run, study, stored)
    try_failed_again(run, study, stored)
    certify(run, study, stored)
    evaluate_on_test(run, study, stored)


def _settle_examples(run: StudyRun, study: SearchStudy, stored: StoredCertification) -> None:
    """Settles the number of certify examples, before any loss on them is seen, and keeps it for later runs."""
    given = with_examples_kept(run.plan, study.record()).setup.scoring.certify_examples
    run.plan = with_certify_examples(run.plan, study.record(), run.loaded)
    if given is None:
        stored.plan_examples(run.certify_examples)


def recipe_to_certify(plan: StudyPlan, record: StudyRecord) -> Arm:
    """The recipe to certify: the arm of the best explored trial; of a ladder of arms, which are recipes themselves, the plan's.

    Raises:
        NoTrialSucceeded: no trial is complete.
    """
    if plan.certify and plan.declaration.arms:
        return plan.arm
    best = record.best()
    if best is None:
        reasons = [f"  {trial.name}: {trial.status.value}: {trial.reason}" for trial in record.trials]
        raise NoTrialSucceeded(
            "\n".join(["no trial is complete:", *reasons[-10:], "raise search.trials to try more arms"])
        )
    return best.arm


def _is_done(plan: StudyPlan, study: SearchStudy) -> bool:
    record = study.record()
    if record.base is None or study.remaining > 0 or outdated_explored(plan, record):
        return False
    if not plan.certify or (record.best() is None and not plan.declaration.arms):
        return True
    if record.certification is None or not study.certification(recipe_to_certify(plan, record)).is_current:
        return False
    if outdated_certified(plan, record.certification) or to_try_again(record):
        return False
    return isinstance(next_step(plan, record), Finish) and is_evaluated_on_test(plan, record)


def identity_to_continue(plan: StudyPlan, data_hash: str, storage: StudyDatabase, paths: Paths) -> str:
    """The identity of the stored study that the plan continues, or of a new one.

    Earlier versions hashed the task metric, the model's path and other keys that change no training into a study's identity. Such a
    study is recognized by its recorded configuration, and by the base that its trials were trained on.
    """
    base_hash = given_base_hash(plan.setup.model, paths)
    own = study_identity(plan, data_hash, base_hash)
    known = _studies_named(storage, plan.name)
    if own in known:
        return own
    for identity, attributes in sorted(known.items(), key=lambda item: -item[1].get("opened", 0.0)):
        if attributes.get("data_hash") != data_hash:
            continue
        recorded = (attributes.get("base", {}).get("provenance") or {}).get("base_hash")
        try:
            stored = study_identity(plan_of_record(str(attributes.get("config"))), data_hash, recorded)
        except ConfigurationError:  # this version cannot read it
            continue
        if stored == study_identity(plan, data_hash, base_hash or recorded):
            return identity
    return own


def with_stored_compute(plan: StudyPlan, data_hash: str, storage: StudyDatabase, paths: Paths) -> StudyPlan:
    """The plan with the `quant.compute` that its stored study began with, for another machine or a version before the key existed.

    The plan itself if it is new or says which type it wants.
    """
    quant = plan.setup.quant
    resolved = with_compute_type(
        replace(quant, compute=AUTO_COMPUTE),
        plan.setup.device,
        needs_float32=any(method_of(each.arm).float32 for each in plan.searched),
    )
    is_auto = quant == resolved and "quant.compute" not in plan.given
    known = _studies_named(storage, plan.name)
    if not is_auto or identity_to_continue(plan, data_hash, storage, paths) in known:
        return plan
    for identity, attributes in sorted(known.items(), key=lambda item: -item[1].get("opened", 0.0)):
        try:
            kept = with_compute(plan, plan_of_record(str(attributes.get("config"))).setup.quant)
        except ConfigurationError:  # this version cannot read it
            continue
        if identity_to_continue(kept, data_hash, storage, paths) == identity:
            return kept
    return plan


def with_stored_ladder(plan: StudyPlan, identity: str, storage: StudyDatabase) -> StudyPlan:
    """The plan as a study that was certified before ladders could be cut goes on: each rank is trained.

    The plan itself for other studies, and if the command line says how smaller ranks are made.
    """
    attributes = _studies_named(storage, plan.name).get(identity)
    if (
        attributes is None
        or plan.declaration.arms
        or plan.given & _HOW_RANKS_ARE_MADE
        or not is_older_than_cuts(attributes)
    ):
        return plan
    stored = plan.declaration.ladder if "certify.ladder" in plan.given else attributes["declaration"]["ladder"]
    return with_ladder(plan, stored, "train")


def _studies_named(storage: StudyDatabase, name: str) -> dict[str, Mapping[str, Any]]:
    """The user attributes of all Optuna studies of this name, by the identity in their full names."""
    studies: dict[str, Mapping[str, Any]] = {}
    for summary in storage.get_all_studies():
        study, _, identity = summary.study_name.rpartition("@")
        if study == name:
            studies[identity] = summary.user_attrs
    return studies


def _note_if_new(plan: StudyPlan, identity: str, storage: StudyDatabase, display: Display) -> None:
    known = list(_studies_named(storage, plan.name))
    if known and identity not in known:
        display.note(
            f"study '{plan.name}' was run before with another search space, data, recipe or quant.compute; results are not mixed: this "
            f"is a new study ({plan.name}@{identity}), the earlier one is kept ({plan.name}@{known[0]})"
        )


def _with_compute_kept(
    plan: StudyPlan, data_hash: str, storage: StudyDatabase, paths: Paths, display: Display
) -> StudyPlan:
    kept, here = with_stored_compute(plan, data_hash, storage, paths), plan.setup.quant.compute
    if kept != plan and kept.setup.quant.compute != AUTO_COMPUTE:
        display.note(
            f"this study computes products with the base in {kept.setup.quant.compute}, and goes on so; this machine would choose "
            f"{here}: quant.compute={here} begins a new study"
        )
    return kept


def _with_ladder_kept(plan: StudyPlan, identity: str, storage: StudyDatabase, display: Display) -> StudyPlan:
    kept = with_stored_ladder(plan, identity, storage)
    if plan.certify and kept != plan:
        display.note(
            "this study was certified with every rank trained from the start, and goes on so; certify.ladder_by=cut asks for adapters "
            "that are cut from the largest rank instead"
        )
    return kept


def _with_examples_kept(plan: StudyPlan, record: StudyRecord, display: Display) -> StudyPlan:
    kept = with_examples_kept(plan, record)
    if kept != plan and plan.setup.scoring.certify_examples is not None:
        asked, used = plan.setup.scoring.certify_examples, kept.setup.scoring.certify_examples
        display.note(
            f"evaluate.certify_examples={asked} is below the {used} examples that the verdict already uses; keeping {used}"
        )
    return kept
