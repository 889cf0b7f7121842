"""One trial on its own, recorded like those of a study."""

from __future__ import annotations

from dataclasses import replace

from sweep.errors import Interrupted, NoTrialSucceeded
from sweep.records import CompletedTrial, Stage, Status, StudyPlan, TrialRecord, TrialSpec
from sweep.store.identity import adapter_identity, trial_identity
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.checks import check_loaded, loading_notes
from sweep.study.display import Display
from sweep.study.recording import sweep_run
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.tracking import Summary, check_address, open_tracker
from sweep.workers.pool import Pool


def train_single(plan: StudyPlan, paths: Paths, display: Display, stop: StopRequest) -> CompletedTrial:
    """Trains the plan's own arm with the plan's seed; the same question asked before is answered from the store.

    Takes no lock, so that launchers may run several at once.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: the trial ended in another way than complete.
        Interrupted: a person or the system asked to stop.
    """
    check_address(plan.tracking_uri, paths)
    ended: list[TrialRecord] = []
    with Pool(replace(plan.setup, threads=plan.threads_alone), paths, 1, plan.name) as pool:
        display.waiting(f"loading {plan.setup.model.name} ({plan.setup.quant.name})")
        pool.start()
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        parent = tracker.open_sweep(sweep_run(plan, "single", {}, alone=False))
        status = Status.FAILED
        try:
            loaded = pool.load(stop.check)
            check_loaded(plan, loaded, (), searched=False)
            for note in loading_notes(plan, loaded):
                display.note(note)
            identity = trial_identity(
                plan.setup, loaded.base_hash, loaded.data_hash, plan.arm, plan.training, plan.seed
            )
            adapter = adapter_identity(
                plan.setup, loaded.base_hash, loaded.train_hash, plan.arm, plan.training, plan.seed
            )
            spec = TrialSpec(identity, plan.name, Stage.SINGLE, plan.arm, plan.training, plan.seed, adapter=adapter)
            with Session(pool, tracker, parent, TrialStore(paths, display.note), display, stop) as session:
                session.begin(1, spec, lambda step, loss: False, ended.append)
                session.finish_all()
            status = ended[0].status
        except Interrupted:
            status = Status.INTERRUPTED
            raise
        finally:
            tracker.close_sweep(parent, status, _summary(ended), ())
    trial = ended[0]
    if not trial.is_complete:
        raise NoTrialSucceeded(
            f"{trial.name}: {trial.status.value}: {trial.reason}; what the worker printed is in {paths.log(plan.name)}"
        )
    return trial.completed()


def _summary(ended: list[TrialRecord]) -> Summary:
    complete = [trial.loss for trial in ended if trial.is_complete]
    return Summary({"tune/loss": complete[0]} if complete else {})
