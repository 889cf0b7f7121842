"""Every round of a stage checks for a stop request and makes progress, so no stage runs for ever."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.storages import RDBStorage

from sweep.commands.app import composed_plan
from sweep.errors import Interrupted, NoProgress
from sweep.records import ExampleOutcome, LoadReport, StudyPlan, TrialRecord, TrialResult, TrialSpec
from sweep.search.certification import StoredCertification
from sweep.search.study import SearchStudy
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.certify import certify
from sweep.study.display import Silent
from sweep.study.explore import explore
from sweep.study.stopping import StopRequest
from sweep.study.study_run import StudyRun
from tests.study.instant import InstantPool, Outcome, complete, interrupted, session_on


@dataclass
class Store:
    """Has every trial, or none. A signal comes at the call number `patience` of `find`.

    Attributes:
        asked: the number of calls of `find`.
    """

    knows: bool
    stop: StopRequest
    patience: int = 10_000
    asked: int = 0
    known: dict[str, TrialSpec] = field(default_factory=dict)

    def find(self, identity: str) -> TrialResult | None:
        self.asked += 1
        if self.asked == self.patience:
            signal.raise_signal(signal.SIGTERM)
        assert self.asked < 500, "runs for ever"
        return complete(self.known[identity]) if self.knows else None

    def outcomes(self, identity: str) -> list[ExampleOutcome]:
        per_token = 0.3 if self.known[identity].arm else 4.0
        return [ExampleOutcome((per_token + 0.01 * number) * 3, 3, "answer", 0.5) for number in range(6)]

    def artifacts(self, ended: TrialResult) -> tuple[Path, ...]:
        return ()

    @property
    def adapters(self) -> NoAdapters:
        return NoAdapters()


class NoAdapters:
    """An empty store of adapters."""

    def find(self, identity: str) -> None:
        """Returns None."""


class KnownRun(StudyRun):
    """Shows each spec to the store first."""

    def spec(self, *asked: Any, **named: Any) -> TrialSpec:
        spec = super().spec(*asked, **named)
        cast(Store, self.session.store).known[spec.identity] = spec
        return spec


@pytest.fixture
def plan() -> StudyPlan:
    words = ["model=tiny", "task=pharma", "search.trials=12", "search.sampler=random", "certify.rate_trials=6"]
    return replace(composed_plan([*words, "certify.seeds=2", "evaluate.certify_examples=128"]), slots=1)


@pytest.fixture
def made(plan: StudyPlan, new_storage: Callable[[], RDBStorage], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a run of a new study."""
    with StopRequest().listening() as stop:

        def make(*, knows: bool, patience: int = 10_000, outcome: Outcome = complete) -> tuple[StudyRun, SearchStudy]:
            store = cast(TrialStore, Store(knows, stop, patience))
            session = session_on(InstantPool(outcome), tmp_path, store=store, stop=stop)
            loaded = LoadReport("made", "basehash", 0, 0, (), 512, 0, 0.0, "cpu", "datahash", {}, {})
            run = KnownRun(plan, Paths(tmp_path), Silent(), session, loaded, started=0.0)
            return run, SearchStudy(plan, new_storage(), "0123456789", "datahash")

        yield make


def certification(run: StudyRun, study: SearchStudy) -> StoredCertification:
    stored = study.certification(study.ended[0].completed().arm)
    stored.begin(run.plan.declaration)
    return stored


@pytest.mark.parametrize("knows", [True, False])
def test_both_stages_end(made: Callable[..., Any], knows: bool) -> None:
    run, study = made(knows=knows)
    explore(run, study)
    assert len(study.ended) == 12
    certify(run, study, certification(run, study))
    certified = study.record().certification
    assert certified is not None
    assert certified.looks
    assert len(certified.tuning) == 6


def test_explore_of_finished_trials_stops_at_the_first_signal(made: Callable[..., Any]) -> None:
    run, study = made(knows=True, patience=5)
    with pytest.raises(Interrupted), run.session:
        explore(run, study)
    assert cast(Store, run.session.store).asked == 5
    assert len(study.ended) == 4, "the base and four trials, of which the last ended before the check for a stop"
    assert study.remaining == 8, "no trial was asked for and left running"


@pytest.mark.parametrize("patience", [1, 3, 8, 10])
def test_certify_of_finished_trials_stops_at_the_first_signal(made: Callable[..., Any], patience: int) -> None:
    run, study = made(knows=True)
    explore(run, study)
    store = cast(Store, run.session.store)
    store.patience = store.asked + patience
    with pytest.raises(Interrupted), run.session:
        certify(run, study, certification(run, study))
    assert store.asked == store.patience


def test_a_signal_between_steps_stops_certify(made: Callable[..., Any]) -> None:
    run, study = made(knows=True)
    explore(run, study)
    stored = certification(run, study)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted):
        certify(run, study, stored)


def test_trials_that_do_not_count_end_explore_with_an_error(made: Callable[..., Any]) -> None:
    run, study = made(knows=False, outcome=lambda spec: interrupted(spec) if spec.arm is not None else complete(spec))
    with pytest.raises(NoProgress, match="the explore stage makes no progress: it waits for 12 trials"):
        explore(run, study)
    assert cast(Store, run.session.store).asked < 8


def test_a_base_without_a_loss_ends_explore_with_an_error(made: Callable[..., Any]) -> None:
    run, study = made(knows=False, outcome=interrupted)
    with pytest.raises(NoProgress, match="the unadapted base's loss on tune"):
        explore(run, study)


class Forgetful:
    """Stores only the first `since` trials."""

    def __init__(self, stored: StoredCertification, since: int) -> None:
        self._stored, self._left = stored, since

    def add_trial(self, trial: TrialRecord, tokens: Sequence[int]) -> None:
        self._left -= 1
        if self._left >= 0:
            self._stored.add_trial(trial, tokens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)


@pytest.mark.parametrize(
    ("since", "awaited"),
    [
        (0, "base's loss on certify"),
        (1, "tune learning rates: r"),
        (7, r"certify trials: r32 with seed 1.* and \d+ more"),
    ],
)
def test_a_step_that_adds_nothing_ends_certify_with_an_error(
    made: Callable[..., Any], since: int, awaited: str
) -> None:
    run, study = made(knows=True)
    explore(run, study)
    forgetful = cast(StoredCertification, Forgetful(certification(run, study), since))
    with pytest.raises(NoProgress, match=awaited):
        certify(run, study, forgetful)
