"""One run of a study or of a single trial: the specs of its trials, its budget and its failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sweep.config.units import show_seconds
from sweep.errors import NoTrialSucceeded
from sweep.records import (
    Arm,
    LoadReport,
    Split,
    Stage,
    Status,
    StudyPlan,
    TrialRecord,
    TrialResult,
    TrialSpec,
    examples_of,
)
from sweep.search.certification import StoredCertification
from sweep.store.identity import adapter_identity, trial_identity
from sweep.store.paths import Paths
from sweep.study.display import Display
from sweep.study.session import Session, StudyPaused, Tell, tell_nobody

BASE_TRIES = 3


class BudgetSpent(StudyPaused):
    """`budget.wall_clock` does not allow another trial.

    Attributes:
        reason: the message without what is left.
    """

    def __init__(self, reason: str, left: str = "the same command continues from here") -> None:
        super().__init__(f"{reason}; {left}")
        self.reason = reason


@dataclass
class StudyRun:
    """A plan with the loaded base and the session of this run.

    Attributes:
        started: when the run began, on the monotonic clock; the budget counts from here.
        trained: the number of trials that this run trained.
        failures: the trials that failed since the last one that did not.
    """

    plan: StudyPlan
    paths: Paths
    display: Display
    session: Session
    loaded: LoadReport
    started: float = field(default_factory=time.monotonic)
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
        """The spec of a trial, with its identity."""
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
        adapter = adapter_identity(
            plan.setup, loaded.base_hash, loaded.weights_hash(plan.training), arm, plan.training, seed
        )
        examples = examples_of(plan.setup.scoring, split) if split is Split.CERTIFY else None
        return TrialSpec(
            identity,
            plan.name,
            stage,
            arm,
            plan.training,
            seed,
            report_every,
            split,
            answers,
            adapter_of,
            adapter,
            examples,
        )

    @property
    def certify_examples(self) -> int:
        """Maximum number of certify examples, which is settled before the certify stage begins."""
        examples = self.plan.setup.scoring.certify_examples
        assert examples is not None
        return examples

    def base_spec(self, split: Split) -> TrialSpec:
        """The spec of the unadapted base on a split."""
        return self.spec(Stage.BASE, None, self.plan.seed, split=split)

    def spec_again(self, result: TrialResult) -> TrialSpec:
        """The spec of a recorded trial under the current configuration: the same adapter, another metric or more examples.

        Adopts an adapter that an earlier version left in the trial's own folder, so that it is not trained again.
        """
        known = result.spec
        spec = self.spec(known.stage, known.arm, known.seed, split=known.split, answers=known.answers)
        spec = replace(spec, report_every=known.report_every)
        if known.arm is not None and known.adapter_of is None:
            self.session.store.adapters.adopt(spec.adapter, result)
        return spec

    def run_trials(
        self,
        specs: Iterable[TrialSpec | None],
        *,
        tell: Tell = tell_nobody,
        first: int = 1,
        expected: Callable[[TrialSpec], float] = lambda spec: 0.0,
    ) -> Iterator[TrialRecord]:
        """Runs trials within the budget; yields each as it ends.

        A base that fails is tried again, since a killed worker says nothing about the base. The base does not count
        towards the budget.

        Args:
            specs: see `Session.run`.
            tell: see `Session.run`; not called with a base that failed.
            first: number of the first trial, for people.
            expected: seconds that a trial is expected to take.

        Raises:
            BudgetSpent: trials are left; those that had begun have ended.
            NoTrialSucceeded: the base could not be evaluated.
        """

        def within_budget(specs: Iterable[TrialSpec | None]) -> Iterator[TrialSpec | None]:
            for spec in specs:
                if spec is not None and spec.arm is not None and (reason := self.over_budget(expected(spec))):
                    raise BudgetSpent(reason)
                yield spec

        def counts(trial: TrialRecord) -> bool:
            return trial.arm is not None or trial.is_complete or trial.status is Status.INTERRUPTED

        def told(ended: TrialRecord) -> None:
            if counts(ended):
                tell(_numbered(ended))

        tries = BASE_TRIES
        pending: Iterable[TrialSpec | None] = specs
        while pending:
            retries: list[TrialSpec] = []
            tries -= 1
            for ended in self.session.run(within_budget(pending), tell=told, first=first):
                trial = _numbered(ended)
                if counts(trial):
                    yield trial
                else:
                    self._check_base_can_be_retried(trial, tries)
                    retries.append(trial.spec)
            pending = retries

    def run_all(self, specs: Iterable[TrialSpec | None], *, tell: Tell) -> None:
        """Runs trials that nobody waits for one by one, see `run_trials`."""
        for _ in self.run_trials(specs, tell=tell):
            pass

    @property
    def has_idle_worker(self) -> bool:
        """Whether a worker has no trial at all."""
        return self.session.pool.fewest_trials() == 0

    def spreads(self, left: int) -> bool:
        """Whether the worker with the fewest trials may take one more of the `left` trials that are ready to begin.

        It takes its even share of them at most, so that the last ones are not all on one worker while another is idle. An idle
        worker may always take one.
        """
        fewest = self.session.pool.fewest_trials()
        return fewest * self.plan.workers < left + fewest

    def evenly(self, specs: Sequence[TrialSpec]) -> Iterator[TrialSpec | None]:
        """The specs in their order, each when a worker may take one more of those that are left; None until then."""
        for begun in range(len(specs)):
            while not self.spreads(len(specs) - begun):
                yield None
            yield specs[begun]

    def save(self, certification: StoredCertification, trial: TrialRecord) -> None:
        """Stores a trial of the certify or final stage in the study, with the figures of every example."""
        if trial.status is Status.INTERRUPTED:
            return
        examples = self.session.store.outcomes(trial.identity) if trial.is_complete else []
        if trial.spec.split is Split.CERTIFY:
            nats = tuple(example.nats for example in examples)
            trial = replace(trial, nats=nats, scores=tuple(e.score for e in examples if e.score is not None))
        certification.add_trial(trial, [example.tokens for example in examples])

    def count(self, trial: TrialRecord) -> None:
        """Counts a trained trial.

        Raises:
            NoTrialSucceeded: `search.max_failures` trials in a row failed.
        """
        if trial.status is Status.INTERRUPTED:
            return
        self.trained += 1
        if trial.status in (Status.COMPLETE, Status.PRUNED):
            self.failures.clear()
            return
        self.failures.append(f"{trial.name}: {trial.status.value}: {trial.reason}")
        if len(self.failures) >= self.plan.search.max_failures:
            raise NoTrialSucceeded(
                "\n".join(
                    [
                        f"{len(self.failures)} trials in a row failed, so the study was stopped:",
                        *(f"  {failure}" for failure in self.failures),
                        f"the output of the workers is in {self.log}; fix the cause and run the same command again, it "
                        "continues from here",
                    ]
                )
            )

    @property
    def log(self) -> str:
        """The file with the output of the workers."""
        return str(self.paths.log(self.plan.name))

    def over_budget(self, expected: float) -> str | None:
        """Why a trial that takes `expected` seconds would exceed `budget.wall_clock`; None if it would not."""
        limit = self.plan.wall_clock
        seconds = time.monotonic() - self.started
        if limit is None or seconds + expected <= limit:
            return None
        return (
            f"budget.wall_clock={show_seconds(limit)} is spent ({show_seconds(seconds)} used, a trial "
            f"takes {show_seconds(expected)})"
        )

    def _check_base_can_be_retried(self, trial: TrialRecord, tries_left: int) -> None:
        if trial.status is not Status.FAILED or tries_left == 0:
            raise NoTrialSucceeded(
                f"the unadapted base model could not be evaluated: {trial.status.value}: {trial.reason}; the output of "
                f"the worker is in {self.log}"
            )
        self.display.note(f"the base model could not be evaluated ({trial.reason}); trying again with a new worker")


def _numbered(trial: TrialRecord) -> TrialRecord:
    """As studies number it; the session numbers the base as people do."""
    return replace(trial, number=-1) if trial.arm is None else trial
