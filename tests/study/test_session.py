"""A session yields each trial once, takes specs only when a worker is free, and leaves no trial open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from sweep.records import Split, Stage, Status, TrialRecord, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Silent
from sweep.study.session import StudyPaused
from sweep.tracking.memory_tracker import MemoryTracker
from tests.conftest import TRAINING, arm
from tests.study.instant import InstantPool, complete, session_on


def spec(number: int) -> TrialSpec:
    return TrialSpec(f"identity{number}", "made", Stage.EXPLORE, arm(8), TRAINING, number)


BASE = TrialSpec("base0000", "made", Stage.BASE, None, TRAINING, 0, split=Split.TUNE)


class Known(TrialStore):
    """Has every trial."""

    def find(self, identity: str) -> TrialResult | None:
        return complete(spec(int(identity.removeprefix("identity"))))


class Ends(Silent):
    """Notes how trials end."""

    def __init__(self) -> None:
        self.statuses: list[Status] = []

    def ended(self, number: int, result: TrialResult) -> None:
        self.statuses.append(result.status)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_each_trial_is_yielded_once_with_its_number(slots: int, tmp_path: Path) -> None:
    pool = InstantPool(slots=slots)
    with session_on(pool, tmp_path) as session:
        ended = list(session.run([BASE, spec(1), spec(2), spec(3)], first=4))
    assert [(trial.number, trial.spec.seed) for trial in ended] == [(0, 0), (4, 1), (5, 2), (6, 3)]


def test_a_spec_that_has_to_wait_is_asked_for_again_when_a_trial_has_ended(tmp_path: Path) -> None:
    ended: list[int] = []

    def specs() -> Iterator[TrialSpec | None]:
        yield spec(1)
        while not ended:
            yield None
        yield spec(2)
        yield None
        yield None
        raise AssertionError("nothing is running that could end the wait")

    with session_on(InstantPool(slots=2), tmp_path) as session:
        for trial in session.run(specs()):
            ended.append(trial.spec.seed)  # noqa: PERF401 (specs reads it meanwhile)
    assert ended == [1, 2]


def test_a_known_result_belongs_to_the_stage_that_asks_for_it(tmp_path: Path) -> None:
    """The same training may have been part of another stage."""
    confirming = replace(spec(1), stage=Stage.CONFIRM, split=Split.CERTIFY)
    with session_on(InstantPool(), tmp_path, store=Known(Paths(tmp_path))) as session:
        (ended,) = session.run([confirming])
    assert ended.spec == confirming


def test_a_spec_is_taken_only_when_a_worker_is_free(tmp_path: Path) -> None:
    """So that the next arm is chosen with the results of the trials before it."""
    ended: list[int] = []
    known_at_choice: list[list[int]] = []

    def specs() -> Iterator[TrialSpec]:
        for number in range(4):
            known_at_choice.append(list(ended))
            yield spec(number)

    with session_on(InstantPool(), tmp_path) as session:
        for trial in session.run(specs()):
            ended.append(trial.spec.seed)  # noqa: PERF401 (the specs depend on it)
    assert known_at_choice == [[], [0], [0, 1], [0, 1, 2]]


def test_one_arm_drawn_twice_is_trained_once_at_a_time(tmp_path: Path) -> None:
    pool = InstantPool(slots=2)
    with session_on(pool, tmp_path) as session:
        ended = list(session.run([spec(1), spec(1)]))
    assert [trial.number for trial in ended] == [1, 2]


@pytest.mark.parametrize("retrain", [False, True])
def test_a_finished_trial_is_taken_from_the_store_unless_it_is_to_be_trained_again(
    retrain: bool, tmp_path: Path
) -> None:
    pool = InstantPool()
    with session_on(pool, tmp_path, store=Known(Paths(tmp_path))) as session:
        (trial,) = session.run([spec(1)], retrain=retrain)
    assert trial.is_complete
    assert len(pool.begun) == retrain


def test_reports_go_to_the_pruner_under_the_trial_s_number(tmp_path: Path) -> None:
    reports: list[tuple[int, int, float]] = []

    def should_prune(number: int, step: int, loss: float) -> bool:
        reports.append((number, step, loss))
        return number == 3 and step == 1

    with session_on(InstantPool(reports=(0.5, 0.4)), tmp_path) as session:
        ended = list(session.run([spec(1), spec(2)], first=2, should_prune=should_prune))
    assert reports == [(2, 1, 0.5), (2, 2, 0.4), (3, 1, 0.5)]
    assert [trial.status for trial in ended] == [Status.COMPLETE, Status.PRUNED]


def test_a_trial_is_told_before_its_mlflow_run_ends(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    session = session_on(InstantPool(slots=2), tmp_path)
    runs = cast(MemoryTracker, session.tracker).runs

    def tell(trial: TrialRecord) -> None:
        assert trial.run_id is not None
        told.append((trial.number, runs[trial.run_id].status))
        if trial.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), session:
        list(session.run([spec(1), spec(2)], tell=tell))
    assert told == [(1, "RUNNING"), (2, "RUNNING")]
    assert [run.status for run in runs.values()] == ["RUNNING", "FINISHED", "KILLED"]


def test_running_trials_end_before_a_pause(tmp_path: Path) -> None:
    def specs() -> Iterator[TrialSpec]:
        yield spec(1)
        yield spec(2)
        raise StudyPaused("later")

    with session_on(InstantPool(slots=4), tmp_path) as session:
        ended = session.run(specs())
        assert [next(ended).number, next(ended).number] == [1, 2]
        with pytest.raises(StudyPaused, match="later"):
            next(ended)


def test_trials_that_are_open_at_the_end_are_recorded_as_interrupted(tmp_path: Path) -> None:
    display = Ends()

    def specs() -> Iterator[TrialSpec]:
        yield spec(1)
        yield spec(2)
        raise KeyboardInterrupt

    session = session_on(InstantPool(slots=4), tmp_path, display=display)
    with pytest.raises(KeyboardInterrupt), session:
        next(session.run(specs()))
    assert display.statuses == [Status.INTERRUPTED, Status.INTERRUPTED]
