"""One call of a study: what its stages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sweep.config.units import show_seconds
from sweep.errors import NoTrialSucceeded
from sweep.records import Arm, Loaded, Split, Stage, Status, StudyPlan, TrialRecord, TrialResult, TrialSpec
from sweep.search.certified import CertifiedTrials
from sweep.store.identity import adapter_identity, trial_identity
from sweep.store.paths import Paths
from sweep.study.display import Display
from sweep.study.session import Session

BASE_TRIES = 3


@dataclass
class Invocation:
    """A loaded base, workers, and the budget of this call.

    Attributes:
        started: when the call began, on the monotonic clock; the budget counts from here.
        trained: how many trials this call ran, scorings of the base left out.
    """

    plan: StudyPlan
    paths: Paths
    display: Display
    session: Session
    loaded: Loaded
    started: float
    trained: int = 0
    failures: list[str] = field(default_factory=list)

    def spec(
        self,
        stage: Stage,
        arm: Arm | None,
        seed: int,
        *,
        split: Split = Split.TUNE,
        answers: bool = True,
        adapter_of: str | None = None,
        report_every: int = 0,
    ) -> TrialSpec:
        """The trial with its identity."""
        plan, loaded = self.plan, self.loaded
        identity = trial_identity(
            plan.setup,
            loaded.base_hash,
            loaded.data_hash,
            arm,
            plan.training,
            seed,
            split=split,
            answers=answers,
            adapter_of=adapter_of,
        )
        adapter = adapter_identity(plan.setup, loaded.base_hash, loaded.train_hash, arm, plan.training, seed)
        return TrialSpec(
            identity, plan.name, stage, arm, plan.training, seed, report_every, split, answers, adapter_of, adapter
        )

    def spec_of(self, result: TrialResult) -> TrialSpec:
        """A recorded trial as it would be asked for with this configuration: another metric, other examples, the same adapter.

        An adapter that an earlier version left in the trial's own folder is taken over, so that it is not trained again.
        """
        known = result.spec
        spec = self.spec(known.stage, known.arm, known.seed, split=known.split, answers=known.answers)
        spec = replace(spec, report_every=known.report_every)
        if known.arm is not None and known.adapter_of is None:
            self.session.store.adapters.adopt(spec.adapter, result)
        return spec

    def affordable(self, expected: float) -> bool:
        """Whether something that takes about `expected` seconds would end within `budget.wall_clock`."""
        return self.plan.wall_clock is None or self.spent + expected <= self.plan.wall_clock

    @property
    def spent(self) -> float:
        """Seconds since this call began."""
        return time.monotonic() - self.started

    def budget_spent(self, expected: float) -> str:
        """Why nothing more is started, in words."""
        assert self.plan.wall_clock is not None
        return (
            f"budget.wall_clock={show_seconds(self.plan.wall_clock)} is spent ({show_seconds(self.spent)} used, a trial "
            f"takes {show_seconds(expected)})"
        )

    def run(self, specs: Iterable[TrialSpec], done: Callable[[TrialRecord], None], first: int, expected: float) -> bool:
        """Runs trials that nothing is asked of but their results; answers whether all fitted into the budget."""
        for number, spec in enumerate(specs, first):
            while not self.session.pool.has_free_slot():
                self.session.step()
            if not self.affordable(expected):
                self.session.finish_all()
                return False
            self.session.begin(number, spec, lambda step, loss: False, done)
        self.session.finish_all()
        return True

    def score_base(self, split: Split, done: Callable[[TrialRecord], None]) -> None:
        """Scores the unadapted base.

        Raises:
            NoTrialSucceeded: it could not be scored.
        """
        self.begin_base(split, done)
        self.session.finish_all()

    def begin_base(self, split: Split, done: Callable[[TrialRecord], None], tries: int = BASE_TRIES) -> None:
        """Has the unadapted base scored beside what begins next; `Session.step` raises NoTrialSucceeded if it cannot be.

        Args:
            tries: how often it is tried, since a worker that is killed says nothing about the base.
        """

        def checked(record: TrialRecord) -> None:
            result = record.result
            if result.status is Status.COMPLETE:
                done(TrialRecord(-1, result, record.run_id))
            elif result.status is Status.FAILED and tries > 1:
                self.display.note(
                    f"the base model could not be scored ({result.reason}); trying again with a new worker"
                )
                self.begin_base(split, done, tries - 1)
            elif result.status is not Status.INTERRUPTED:
                raise NoTrialSucceeded(
                    f"the unadapted base model could not be scored: {result.status.value}: {result.reason}; what the "
                    f"worker printed is in {self.paths.log(self.plan.name)}"
                )

        self.session.begin(
            0, self.spec(Stage.BASE, None, self.plan.seed, split=split), lambda step, loss: False, checked
        )

    def remember(self, certified: CertifiedTrials, record: TrialRecord) -> None:
        """Keeps a trial of the certify or final stage with the study, every example's figures included."""
        if record.status is Status.INTERRUPTED:
            return
        complete = record.result.measures is not None
        scores = self.session.store.outcomes(record.spec.identity) if complete else []
        certified.add(
            record,
            [score.nats for score in scores],
            [score.tokens for score in scores],
            [score.score for score in scores if score.score is not None],
        )

    def count(self, record: TrialRecord) -> None:
        """Notes how a trained trial ended; too many failures in a row end the study.

        Raises:
            NoTrialSucceeded: `search.max_failures` trials in a row failed.
        """
        status = record.status
        if status is Status.INTERRUPTED:
            return
        self.trained += 1
        if status in (Status.COMPLETE, Status.PRUNED):
            self.failures.clear()
            return
        self.failures.append(f"{record.spec.name}: {status.value}: {record.result.reason}")
        if len(self.failures) >= self.plan.search.max_failures:
            raise NoTrialSucceeded(
                "\n".join(
                    [
                        f"{len(self.failures)} trials in a row failed, so the study was stopped:",
                        *(f"  {failure}" for failure in self.failures),
                        f"what the workers printed is in {self.paths.log(self.plan.name)}; mend the cause and run the "
                        "same command again, it goes on from here",
                    ]
                )
            )
