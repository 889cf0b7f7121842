"""What the stages of a run share: a base that fails is tried again, and the budget ends a run in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import NoTrialSucceeded
from sweep.records import Provenance, Split, Stage, Status
from sweep.store.identity import adapter_identity, is_current
from sweep.store.paths import Paths
from sweep.study.display import Silent
from sweep.study.study_run import BASE_TRIES, BudgetSpent, StudyRun
from tests.study.instant import InstantPool, in_turn, session_on
from tests.study.test_checks import LOADED


def study_run(pool: InstantPool, made_task: Path, tmp_path: Path) -> StudyRun:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"]
    return StudyRun(composed_plan(words), Paths(tmp_path), Silent(), session_on(pool, tmp_path), LOADED, 0.0)


def test_a_base_that_fails_is_tried_again(made_task: Path, tmp_path: Path) -> None:
    pool = InstantPool(in_turn(*[Status.FAILED] * (BASE_TRIES - 1), Status.COMPLETE))
    run = study_run(pool, made_task, tmp_path)
    (base,) = run.run_trials([run.base_spec(Split.TUNE)])
    assert (base.status, base.number) == (Status.COMPLETE, -1)
    assert len(pool.begun) == BASE_TRIES
    assert len({spec.identity for spec in pool.begun}) == 1


@pytest.mark.parametrize(("status", "tries"), [(Status.FAILED, BASE_TRIES), (Status.INFEASIBLE, 1)])
def test_a_base_that_cannot_be_evaluated_ends_the_study(
    status: Status, tries: int, made_task: Path, tmp_path: Path
) -> None:
    pool = InstantPool(in_turn(*[status] * tries))
    run = study_run(pool, made_task, tmp_path)
    with pytest.raises(NoTrialSucceeded, match=r"base model could not be evaluated.*killed by signal 9"):
        list(run.run_trials([run.base_spec(Split.TUNE)]))
    assert len(pool.begun) == tries


def test_a_base_that_fails_beside_other_trials_is_tried_again(made_task: Path, tmp_path: Path) -> None:
    pool = InstantPool(in_turn(Status.FAILED, Status.COMPLETE, Status.COMPLETE), slots=2)
    run = study_run(pool, made_task, tmp_path)
    specs = [run.base_spec(Split.TUNE), run.spec(Stage.EXPLORE, run.plan.arm, 0)]
    assert [trial.rank for trial in run.run_trials(specs)] == [run.plan.arm.rank, 0]


def test_the_budget_lets_running_trials_end_and_does_not_cover_the_base(made_task: Path, tmp_path: Path) -> None:
    run = study_run(InstantPool(), made_task, tmp_path)
    run.plan = replace(run.plan, wall_clock=0.5)
    ended = run.run_trials([run.base_spec(Split.TUNE), run.spec(Stage.EXPLORE, run.plan.arm, 0)])
    assert next(ended).rank == 0
    with pytest.raises(BudgetSpent, match=r"budget.wall_clock=.* is spent .*; the same command continues") as caught:
        next(ended)
    assert str(caught.value).startswith(caught.value.reason)


def test_a_cut_arm_has_an_adapter_of_its_own_and_the_same_when_it_is_asked_for_again(
    made_task: Path, tmp_path: Path
) -> None:
    run = study_run(InstantPool(), made_task, tmp_path)
    cut = replace(run.plan.arm, rank=2, cut_from=run.plan.arm.rank)
    spec = run.spec(Stage.CERTIFY, cut, 1, split=Split.CERTIFY)
    parent = run.spec(Stage.CERTIFY, cut.parent, 1, split=Split.CERTIFY)
    expected = adapter_identity(run.plan.setup, LOADED.base_hash, LOADED.train_hash, cut.parent, run.plan.training, 1)
    assert parent.adapter == expected
    assert len({spec.adapter, parent.adapter, spec.identity, parent.identity}) == 4
    (trial,) = run.run_trials([spec])
    provenance = Provenance({}, "cpu", "made", LOADED.base_hash, LOADED.data_hash, 1)
    result = replace(trial.result, provenance=provenance)
    assert run.spec_again(result) == spec
    assert is_current(result, run.plan.setup)
    tested = run.spec(Stage.FINAL, cut, 1, split=Split.TEST, adapter_of=spec.identity)
    assert tested.adapter == spec.adapter
