"""A single trial without a study, recorded like those of a study."""

from __future__ import annotations

from dataclasses import replace

from sweep.errors import Interrupted, NoTrialSucceeded
from sweep.records import CapacityRequest, CompletedTrial, Stage, Status, StudyPlan
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.checks import check_loaded, loading_notes
from sweep.study.display import Display
from sweep.study.recording import sweep_run
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.study.study_run import StudyRun
from sweep.tracking import Summary, check_address, open_tracker
from sweep.workers.pool import Pool


def train_single(plan: StudyPlan, paths: Paths, display: Display, stop: StopRequest) -> CompletedTrial:
    """Trains the plan's own arm with the plan's seed; a finished trial is taken from the store.

    Takes no lock, so that launchers may run several at the same time.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: the trial did not end complete.
        Interrupted: the sweep was asked to stop.
    """
    check_address(plan.tracking_uri, paths)
    plan = replace(plan, setup=replace(plan.setup, workers_on_device=1))
    request = CapacityRequest(1, (plan.arm,), plan.training, plan.seed, workers=1)
    with Pool(replace(plan.setup, threads=plan.threads_alone), paths, 1, plan.name, request) as pool:
        display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
        pool.start()
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        parent = tracker.open_sweep(sweep_run(plan, "single", {}, alone=False))
        status, summary = Status.FAILED, Summary()
        try:
            loaded = pool.load(stop.check, display.note)
            check_loaded(plan, loaded, (), searched=False)
            for note in loading_notes(plan, loaded):
                display.note(note)
            with Session(pool, tracker, parent, TrialStore(paths, display.note), display, stop) as session:
                run = StudyRun(plan, paths, display, session, loaded)
                (trial,) = session.run([run.spec(Stage.SINGLE, plan.arm, plan.seed)])
            status = trial.status
            if trial.is_complete:
                summary = Summary({"tune/loss": trial.loss})
        except Interrupted:
            status = Status.INTERRUPTED
            raise
        finally:
            tracker.close_sweep(parent, status, summary, ())
    if not trial.is_complete:
        raise NoTrialSucceeded(
            f"{trial.name}: {trial.status.value}: {trial.reason}; the output of the worker is in {paths.log(plan.name)}"
        )
    return trial.completed()
