"""One call of a study: what its stages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sweep.config.units import show_seconds
from sweep.errors import NoTrialSucceeded
from sweep.paths import Paths
from sweep.plan.identity import trial_identity
from sweep.records import Arm, Loaded, Split, Stage, Status, StudyPlan, TrialRecord, TrialSpec
from sweep.study.display import Display
from sweep.study.session import Session


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
            plan.foundation,
            loaded.base_hash,
            loaded.data_hash,
            arm,
            plan.training,
            seed,
            split=split,
            answers=answers,
            adapter_of=adapter_of,
        )
        return TrialSpec(identity, plan.name, stage, arm, plan.training, seed, report_every, split, answers, adapter_of)

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
            while not self.session.pool.has_room():
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

    def begin_base(self, split: Split, done: Callable[[TrialRecord], None]) -> None:
        """Has the unadapted base scored beside what begins next; `Session.step` raises NoTrialSucceeded if it cannot be."""

        def checked(record: TrialRecord) -> None:
            result = record.result
            if result.status is Status.COMPLETE:
                done(TrialRecord(-1, result, record.run_id))
            elif result.status is not Status.INTERRUPTED:
                raise NoTrialSucceeded(
                    f"the unadapted base model could not be scored: {result.status.value}: {result.reason}; what the "
                    f"worker printed is in {self.paths.log(self.plan.name)}"
                )

        self.session.begin(
            0, self.spec(Stage.BASE, None, self.plan.seed, split=split), lambda step, loss: False, checked
        )

    def count(self, record: TrialRecord) -> None:
        """Notes how a trained trial ended; too many failures in a row end the study.

        Raises:
            NoTrialSucceeded: `search.max_failures` trials in a row failed.
        """
        status = record.result.status
        if status is Status.INTERRUPTED:
            return
        self.trained += 1
        if status in (Status.COMPLETE, Status.PRUNED):
            self.failures.clear()
            return
        self.failures.append(f"{record.result.spec.name}: {status.value}: {record.result.reason}")
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
