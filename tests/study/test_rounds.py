"""Every round of a stage checks for a stop and moves the study on: no stage goes round for ever, none is deaf."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.storages import RDBStorage

from sweep.commands.app import composed_plan
from sweep.errors import Interrupted, NoProgress
from sweep.records import ExampleOutcome, Loaded, Status, StudyPlan, TrialRecord, TrialResult, TrialSpec
from sweep.search.certified import CertifiedTrials
from sweep.search.explorer import Explorer
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.certify import certify
from sweep.study.display import Silent
from sweep.study.explore import explore
from sweep.study.invocation import Invocation
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import SweepRun
from sweep.workers.messages import Ended
from sweep.workers.pool import Event, Pool
from tests.conftest import measures

Outcome = Callable[[TrialSpec], TrialResult]


def complete(spec: TrialSpec) -> TrialResult:
    loss = 0.3 + spec.arm.learning_rate if spec.arm else 4.0
    return TrialResult(spec, Status.COMPLETE, measures=measures(loss, spec.rank), started=float(spec.seed), seconds=1.0)


def interrupted(spec: TrialSpec) -> TrialResult:
    return TrialResult(spec, Status.INTERRUPTED, "made up")


@dataclass
class InstantPool:
    """Ends every trial as `outcome` says, at once."""

    outcome: Outcome = complete
    specs: list[TrialSpec] = field(default_factory=list)

    def has_free_slot(self) -> bool:
        return not self.specs

    def submit(self, spec: TrialSpec) -> None:
        self.specs.append(spec)

    def events(self, timeout: float) -> Iterator[Event]:
        ended, self.specs = self.specs, []
        for spec in ended:
            yield Event(spec, Ended(self.outcome(spec)))


@dataclass
class Store:
    """Knows what was asked before; of what it is asked, or of nothing. A signal comes when it was asked `patience` times.

    Attributes:
        asked: how often it was asked for a trial.
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
        assert self.asked < 500, "goes round for ever"
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
    """A store of adapters that holds none."""

    def find(self, identity: str) -> None:
        """None is there."""


class KnownInvocation(Invocation):
    """Shows the store each trial before anybody asks for it."""

    def spec(self, *asked: Any, **named: Any) -> TrialSpec:
        spec = super().spec(*asked, **named)
        cast(Store, self.session.store).known[spec.identity] = spec
        return spec


@pytest.fixture
def plan() -> StudyPlan:
    words = ["model=tiny", "task=pharma", "search.trials=12", "search.sampler=random", "certify.rate_trials=6"]
    return replace(composed_plan([*words, "certify.seeds=2"]), slots=1)


@pytest.fixture
def made(plan: StudyPlan, new_storage: Callable[[], RDBStorage], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes an invocation and the explorer of a new study."""
    with StopRequest().listening() as stop:

        def make(*, knows: bool, patience: int = 10_000, outcome: Outcome = complete) -> tuple[Invocation, Explorer]:
            tracker = MemoryTracker()
            parent = tracker.open_sweep(SweepRun("made", ""))
            store = Store(knows, stop, patience)
            pool = cast(Pool, InstantPool(outcome))
            session = Session(pool, tracker, parent, cast(TrialStore, store), Silent(), stop)
            loaded = Loaded("made", "basehash", 0, 0, (), 512, 0, 0.0, "cpu", "datahash", {}, {})
            call = KnownInvocation(plan, Paths(tmp_path), Silent(), session, loaded, started=0.0)
            return call, Explorer(plan, new_storage(), "0123456789", "datahash")

        yield make


def certification(call: Invocation, explorer: Explorer) -> CertifiedTrials:
    recipe = explorer.ended()[0].spec.arm
    assert recipe is not None
    certified = explorer.certified(recipe)
    certified.begin(call.plan.declaration, recipe)
    return certified


@pytest.mark.parametrize("knows", [True, False])
def test_undisturbed_both_stages_end(made: Callable[..., Any], knows: bool) -> None:
    call, explorer = made(knows=knows)
    assert explore(call, explorer)
    assert explorer.count() == 12
    assert certify(call, explorer, certification(call, explorer))
    found = explorer.record().certification
    assert found is not None
    assert found.looks
    assert len(found.tuning) == 6


def test_explore_of_known_trials_hears_the_first_signal(made: Callable[..., Any]) -> None:
    call, explorer = made(knows=True, patience=5)
    with pytest.raises(Interrupted), call.session:
        explore(call, explorer)
    assert cast(Store, call.session.store).asked == 5
    assert explorer.count() == 4, "the base and four trials, the last of which ended before the stop was heard"
    assert explorer.remaining() == 8, "nothing was asked for and left without an end"


@pytest.mark.parametrize("patience", [1, 3, 8, 10])
def test_certify_of_known_trials_hears_the_first_signal(made: Callable[..., Any], patience: int) -> None:
    call, explorer = made(knows=True)
    explore(call, explorer)
    store = cast(Store, call.session.store)
    store.patience = store.asked + patience
    with pytest.raises(Interrupted), call.session:
        certify(call, explorer, certification(call, explorer))
    assert store.asked == store.patience


def test_a_signal_between_steps_is_heard(made: Callable[..., Any]) -> None:
    call, explorer = made(knows=True)
    explore(call, explorer)
    certified = certification(call, explorer)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted):
        certify(call, explorer, certified)


def test_trials_that_do_not_count_end_explore_in_words(made: Callable[..., Any]) -> None:
    call, explorer = made(
        knows=False, outcome=lambda spec: interrupted(spec) if spec.arm is not None else complete(spec)
    )
    with pytest.raises(NoProgress, match="the explore stage stands still: it waits for 12 trials"):
        explore(call, explorer)
    assert cast(Store, call.session.store).asked < 8


def test_a_base_without_a_score_ends_explore_in_words(made: Callable[..., Any]) -> None:
    call, explorer = made(knows=False, outcome=interrupted)
    with pytest.raises(NoProgress, match="the unadapted base's score on tune"):
        explore(call, explorer)


class Forgetful:
    """Remembers nothing from `since` trials on."""

    def __init__(self, certified: CertifiedTrials, since: int) -> None:
        self._certified, self._left = certified, since

    def add(self, record: TrialRecord, *figures: Any) -> None:
        self._left -= 1
        if self._left >= 0:
            self._certified.add(record, *figures)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._certified, name)


@pytest.mark.parametrize(
    ("since", "awaited"),
    [
        (0, "base's score on certify"),
        (1, "tune learning rates: r"),
        (7, r"certify trials: r2 with seed 1.* and \d+ more"),
    ],
)
def test_a_step_that_leaves_no_trace_ends_certify_in_words(made: Callable[..., Any], since: int, awaited: str) -> None:
    call, explorer = made(knows=True)
    explore(call, explorer)
    forgetful = cast(CertifiedTrials, Forgetful(certification(call, explorer), since))
    with pytest.raises(NoProgress, match=awaited):
        certify(call, explorer, forgetful)
