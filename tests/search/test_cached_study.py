"""The copy in memory agrees with the database, and a sampler proposes the same from either."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.records import Report, Status, StepLoss, StudyPlan, TrialResult
from sweep.records.plan import SAMPLERS
from sweep.search.reading import studies_of
from sweep.search.samplers import make_sampler
from sweep.search.storage import open_storage
from sweep.search.stored_trials import TrialLog
from sweep.search.study import AskedTrial, SearchStudy
from sweep.store.locks import this_process
from sweep.store.paths import Paths
from tests.conftest import result
from tests.search.test_study import loss_of, plan_with, search_study

NewStorage = Callable[[], RDBStorage]
WAYS = (Status.COMPLETE, Status.COMPLETE, Status.PRUNED, Status.FAILED, Status.INFEASIBLE, Status.INTERRUPTED)


def ended(asked: AskedTrial, status: Status) -> TrialResult:
    """A result with a learning curve long enough to be thinned."""
    made = result(asked.arm, loss_of(asked.arm) if status is Status.COMPLETE else None, status, "made up")
    history = tuple(StepLoss(step, 5.0 / step, 1e-3) for step in range(1, 121))
    return replace(made, history=history, reports=(Report(20, 0.5 + asked.arm.dropout),))


def in_the_database(plan: StudyPlan, storage: RDBStorage) -> optuna.Study:
    """The study as another process reads it."""
    (summary,) = storage.get_all_studies()
    assert summary.study_name.startswith(plan.name)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def assert_agrees(study: SearchStudy, plan: StudyPlan, storage: RDBStorage) -> None:
    stored = in_the_database(plan, storage)
    read = TrialLog(stored.get_trials(deepcopy=False))
    assert study._log.ended == read.ended
    assert study._log.interrupted == read.interrupted
    assert study._log.running == read.running
    (record,) = studies_of(storage, plan.name)
    assert study.record() == record
    copied = study._cached.copy
    for mine, theirs in zip(copied.get_trials(), stored.get_trials(), strict=True):
        assert (mine.number, mine.state, mine.values) == (theirs.number, theirs.state, theirs.values)
        assert (mine.params, mine.distributions) == (theirs.params, theirs.distributions)
        assert mine.intermediate_values == theirs.intermediate_values
        assert mine.system_attrs == theirs.system_attrs
        if theirs.state is TrialState.RUNNING:
            assert theirs.user_attrs["owner"] == this_process(), "others must see the owner"
    attributes = (each._storage.get_study_system_attrs(each._study_id) for each in (copied, stored))
    assert next(attributes) == next(attributes)


def some_trials(study: SearchStudy, steps: list[tuple[int, Status]]) -> list[AskedTrial]:
    """Asks, reports and tells, with up to three trials at once; returns those still running.

    Args:
        steps: which running trial ends after each `ask` (3: none), and how.
    """
    running: list[AskedTrial] = []
    for which, status in steps:
        if study.remaining and len(running) < 3:
            running.append(study.ask())
            study.report(running[-1], 20, 0.5 + running[-1].arm.dropout)
        if which < len(running):
            asked = running.pop(which)
            study.tell(asked, ended(asked, status), f"run-{asked.number}")
    return running


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2", "grid"])
def test_memory_agrees_with_the_database(sampler: str, seed: int, new_storage: NewStorage) -> None:
    """For trials that overlap and end in any order and any way."""
    draw = random.Random(f"{sampler} {seed}")
    steps = [(draw.randrange(4), draw.choice(WAYS)) for _ in range(14)]
    plan = plan_with(sampler, "pruner=median", trials=12)
    storage = new_storage()
    study = search_study(plan, storage)
    left = some_trials(study, steps)
    assert_agrees(study, plan, storage)
    for asked in left:
        study.tell(asked, ended(asked, Status.COMPLETE), None)
    again = search_study(plan, storage)
    assert again.ended == study.ended
    assert_agrees(again, plan, storage)


def as_from_the_database(plan: StudyPlan, study: optuna.Study, seed: int) -> dict[str, object]:
    """What the sampler proposes without a copy."""
    space = plan.space
    study.sampler = make_sampler(plan.search.sampler, plan.search.sampler_options, seed)
    trial = study.ask()
    trial.suggest_int("log2_r", 1, 5, step=1)
    trial.suggest_categorical("alpha_ratio", list(space.alpha_ratios))
    trial.suggest_categorical("dropout", list(space.dropouts))
    trial.suggest_categorical("targets", list(space.targets))
    trial.suggest_float("learning_rate", *space.learning_rate, log=True)
    return dict(trial.params)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_proposals_are_those_from_the_database_alone(sampler: str, new_storage: NewStorage, tmp_path: Path) -> None:
    draw = random.Random(sampler)
    plan = plan_with(sampler, "seed=3", trials=16)
    storage = new_storage()
    study = search_study(plan, storage)
    running: list[AskedTrial] = []
    for number in range(12):
        storage.remove_session()
        copied = Paths(tmp_path / f"copy-{number}")
        copied.root.mkdir()
        shutil.copy(Path(str(storage.engine.url.database)), copied.optuna_database)
        wal = Path(f"{storage.engine.url.database}-wal")
        if wal.exists():
            shutil.copy(wal, f"{copied.optuna_database}-wal")
        other = open_storage(None, copied)
        stored = in_the_database(plan, other)
        busy = (TrialState.RUNNING,)
        known = len(TrialLog(stored.get_trials()).ended) + len(stored.get_trials(states=busy))
        expected = as_from_the_database(plan, stored, plan.seed * 1_000_003 + known)
        other.remove_session()
        other.engine.dispose()
        running.append(study.ask())
        assert running[-1].trial.params == expected, f"trial {number}"
        if draw.random() < 0.7:
            asked = running.pop(draw.randrange(len(running)))
            study.tell(asked, ended(asked, draw.choice(WAYS[:5])), None)


def test_shared_sampler_state_changes_no_proposal() -> None:
    """With pruned, failed and running trials; the first ones are all pruned."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from sweep.search.samplers import SamplerState

    space = {
        "rank": IntDistribution(1, 5),
        "targets": CategoricalDistribution(["a", "b"]),
        "rate": FloatDistribution(1e-4, 1e-2, log=True),
        "one": CategoricalDistribution(["only"]),
    }
    shared = SamplerState()
    studies = [optuna.create_study(direction="minimize") for _ in range(2)]
    draw = random.Random(0)
    running: list[int] = []
    for number in range(60):
        trials = []
        for study, own in zip(studies, (shared, None), strict=True):
            study.sampler = make_sampler("tpe", {}, number, own)
            trials.append(study.ask(space))
        assert trials[0].params == trials[1].params, f"trial {number}"
        running.append(number)
        if draw.random() < 0.8:
            later = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
            state = draw.choice(later) if number > 15 else TrialState.PRUNED
            number, value = running.pop(draw.randrange(len(running))), draw.random()
            for study in studies:
                study.tell(number, value if state is TrialState.COMPLETE else None, state=state)
