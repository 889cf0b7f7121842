"""A whole study: the base is scored, arms are asked for and trained until there are as many as planned."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from optuna.storages import RDBStorage

from sweep.config.units import show_seconds
from sweep.errors import Interrupted, NoTrialSucceeded
from sweep.paths import Paths
from sweep.plan.identity import study_identity, trial_identity
from sweep.records import Arm, Loaded, Stage, Status, StudyPlan, StudyRecord, TrialRecord, TrialSpec
from sweep.study.checks import check_loaded, loading_notes
from sweep.study.display import Display
from sweep.study.explorer import Asked, Explorer
from sweep.study.lock import study_lock
from sweep.study.recording import summary, sweep_run
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.study.storage import open_storage
from sweep.tracking import check_address, open_tracker
from sweep.trials import TrialStore
from sweep.workers.pool import Pool
from tasks import Splits


@dataclass(frozen=True, slots=True)
class Explored:
    """What `explore` leaves.

    Attributes:
        trained: how many trials this call ran.
        stopped_by_budget: whether trials are left because `budget.wall_clock` was spent.
        parent: the MLflow run of this call, or None if there was nothing to do.
    """

    record: StudyRecord
    trained: int
    stopped_by_budget: bool
    parent: str | None


def explore(plan: StudyPlan, splits: Splits, paths: Paths, display: Display, stop: StopRequest) -> Explored:
    """Runs the study to its end, or goes on where an earlier call ended.

    Raises:
        StudyBusy: another sweep of this study is running.
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: too many trials in a row failed, or none is complete in the end.
        Interrupted: a person or the system asked to stop; all that is finished is kept.
    """
    check_address(plan.tracking_uri)
    with study_lock(paths, plan.name):
        identity = study_identity(plan, splits.data_hash)
        storage = open_storage(plan.storage_url, paths)
        _tell_if_new(plan, identity, storage, display)
        explorer = Explorer(plan, storage, identity, splits.data_hash)
        record = explorer.record()
        if explorer.reaped:
            display.note(f"{explorer.reaped} trial(s) that an earlier, killed call left are asked for again")
        if record.base is not None and explorer.remaining() == 0:
            return Explored(_some_complete(record), 0, stopped_by_budget=False, parent=None)
        return _Exploration(plan, paths, display, stop, explorer, identity).run()


class _Exploration:
    """One call's part of a study."""

    def __init__(
        self, plan: StudyPlan, paths: Paths, display: Display, stop: StopRequest, explorer: Explorer, identity: str
    ) -> None:
        self._plan = plan
        self._paths = paths
        self._display = display
        self._stop = stop
        self._explorer = explorer
        self._identity = identity
        self._started = time.monotonic()
        self._failures: list[str] = []
        self._trained = 0

    def run(self) -> Explored:
        with Pool(self._plan.foundation, self._paths, self._plan.workers, self._plan.name) as pool:
            self._display.waiting(f"loading {self._plan.foundation.model.name} ({self._plan.foundation.quant.name})")
            pool.start()
            tracker = open_tracker(self._plan.tracking_uri, self._paths)
            parent = tracker.open_sweep(sweep_run(self._plan, self._identity))
            status = Status.FAILED
            try:
                loaded = pool.load(self._stop.check)
                check_loaded(self._plan, loaded, self._explorer.ended(), searched=True)
                for note in loading_notes(self._plan, loaded):
                    self._display.note(note)
                session = Session(
                    pool, tracker, parent, TrialStore(self._paths), self._display, self._stop, self._explorer.beat
                )
                with session:
                    stopped_by_budget = self._trials(session, loaded)
                record = self._explorer.record() if stopped_by_budget else _some_complete(self._explorer.record())
                status = Status.COMPLETE
            except Interrupted:
                status = Status.INTERRUPTED
                raise
            finally:
                tracker.close_sweep(parent, status, summary(self._explorer.record()), ())
        return Explored(record, self._trained, stopped_by_budget, parent)

    def _trials(self, session: Session, loaded: Loaded) -> bool:
        """Runs trials until none is left or the budget is spent; answers whether it was spent."""
        explorer = self._explorer
        if explorer.record().base is None:
            spec = self._spec(None, loaded)
            session.begin(0, spec, lambda step, loss: False, self._base_done)
            session.finish_all()
        already = len(explorer.ended())
        self._display.planned(already + explorer.remaining(), already)
        while True:
            while session.pool.has_room() and session.running < self._plan.workers and explorer.remaining() > 0:
                if not self._affordable():
                    session.finish_all()
                    return True
                self._begin(session, explorer.ask(), loaded)
            if not session.running:
                return False
            session.step()

    def _begin(self, session: Session, asked: Asked, loaded: Loaded) -> None:
        session.begin(
            len(self._explorer.ended()) + session.running + 1,
            self._spec(asked.arm, loaded),
            lambda step, loss: self._explorer.report(asked, step, loss),
            lambda record: self._trial_done(asked, record),
        )

    def _trial_done(self, asked: Asked, record: TrialRecord) -> None:
        self._explorer.tell(asked, record.result, record.run_id)
        status = record.result.status
        if status is Status.INTERRUPTED:
            return
        self._trained += 1
        if status in (Status.COMPLETE, Status.PRUNED):
            self._failures = []
            return
        self._failures.append(f"{record.result.spec.name}: {status.value}: {record.result.reason}")
        if len(self._failures) >= self._plan.search.max_failures:
            raise NoTrialSucceeded(
                "\n".join(
                    [
                        f"{len(self._failures)} trials in a row failed, so the study was stopped:",
                        *(f"  {failure}" for failure in self._failures),
                        f"what the workers printed is in {self._paths.log(self._plan.name)}; mend the cause and run the "
                        "same command again, it goes on from here",
                    ]
                )
            )

    def _base_done(self, record: TrialRecord) -> None:
        result = record.result
        if result.status is Status.COMPLETE:
            self._explorer.remember_base(TrialRecord(-1, result, record.run_id))
        elif result.status is not Status.INTERRUPTED:
            raise NoTrialSucceeded(
                f"the unadapted base model could not be scored: {result.status.value}: {result.reason}; what the worker "
                f"printed is in {self._paths.log(self._plan.name)}"
            )

    def _affordable(self) -> bool:
        """Whether one more trial would end within the budget, going by the median trial so far."""
        if self._plan.wall_clock is None:
            return True
        took = [trial.result.seconds for trial in self._explorer.ended() if trial.result.status is Status.COMPLETE]
        spent = time.monotonic() - self._started
        expected = median(took) if took else 0.0
        if spent + expected <= self._plan.wall_clock:
            return True
        self._display.note(
            f"budget.wall_clock={show_seconds(self._plan.wall_clock)} is spent ({show_seconds(spent)} used, a trial takes "
            f"{show_seconds(expected)}); {self._explorer.remaining()} trials are left for another call"
        )
        return False

    def _spec(self, arm: Arm | None, loaded: Loaded) -> TrialSpec:
        plan = self._plan
        return TrialSpec(
            identity=trial_identity(plan.foundation, loaded.base_hash, loaded.data_hash, arm, plan.training, plan.seed),
            study=plan.name,
            stage=Stage.EXPLORE if arm else Stage.BASE,
            arm=arm,
            training=plan.training,
            seed=plan.seed,
            report_every=self._explorer.report_every if arm else 0,
        )


def _tell_if_new(plan: StudyPlan, identity: str, storage: RDBStorage, display: Display) -> None:
    earlier = [name for name in _identities(storage, plan.name) if name != identity]
    if earlier and identity not in _identities(storage, plan.name):
        display.note(
            f"study '{plan.name}' was run before with another search space, data or recipe; results are not mixed: this "
            f"is a new study ({plan.name}@{identity}), the earlier one is kept ({plan.name}@{earlier[0]})"
        )


def _identities(storage: RDBStorage, name: str) -> list[str]:
    summaries = [summary.study_name.rpartition("@") for summary in storage.get_all_studies()]
    return [identity for study, _, identity in summaries if study == name]


def _some_complete(record: StudyRecord) -> StudyRecord:
    if not record.complete():
        reasons = [
            f"  {trial.result.spec.name}: {trial.result.status.value}: {trial.result.reason}" for trial in record.trials
        ]
        raise NoTrialSucceeded(
            "\n".join(["no trial is complete:", *reasons[-10:], "raise search.trials to try more arms"])
        )
    return record
