"""Trials that were evaluated in another way are evaluated again; those that fail are named and left for a later run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Provenance, Stage, Status, StudyPlan, StudyRecord, TrialRecord
from sweep.store.paths import Paths
from sweep.study.display import Silent
from sweep.study.examples import with_examples_kept
from sweep.study.rescoring import common_examples, outdated_explored, rescore
from sweep.study.session import StudyPaused
from sweep.study.study_run import StudyRun
from tests.conftest import certified_record, result, study_record
from tests.study.instant import InstantPool, in_turn, session_on
from tests.study.test_checks import LOADED


@dataclass
class Noting(Silent):
    """A display that keeps its notes."""

    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def plan(made_task: Path) -> StudyPlan:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"]
    return composed_plan([*words, "evaluate.certify_examples=90"])


def recorded(plan: StudyPlan, number: int, stage: Stage = Stage.EXPLORE) -> TrialRecord:
    """A complete trial that was evaluated with another metric."""
    made = result(plan.arm, 0.5)
    spec = replace(made.spec, identity="e" * 32, stage=stage, training=plan.training)
    provenance = Provenance({}, "cpu", "made", LOADED.base_hash, LOADED.data_hash, 1)
    return TrialRecord(number, replace(made, spec=spec, provenance=provenance), f"run-{number}")


def run_with(plan: StudyPlan, ends: Status, tmp_path: Path) -> tuple[StudyRun, Noting, InstantPool]:
    pool, display = InstantPool(in_turn(ends)), Noting()
    session = session_on(pool, tmp_path, display=display)
    return StudyRun(plan, Paths(tmp_path), display, session, LOADED, 0.0), display, pool


def test_two_records_of_one_arm_are_both_kept(plan: StudyPlan, tmp_path: Path) -> None:
    run, display, pool = run_with(plan, Status.COMPLETE, tmp_path)
    left = [recorded(plan, 0), recorded(plan, 3)]
    kept: list[int] = []

    def keep(trial: TrialRecord) -> None:
        kept.append(trial.number)
        left.pop(0)

    rescore(run, lambda: list(left), keep)
    assert kept == [0, 3]
    assert len(pool.begun) == 1
    assert pool.begun[0].identity != "e" * 32
    assert any("2 finished trial(s) are evaluated again" in note for note in display.notes)


def test_a_trial_that_cannot_be_evaluated_is_named_and_stays(plan: StudyPlan, tmp_path: Path) -> None:
    run, _, _ = run_with(plan, Status.INFEASIBLE, tmp_path)
    kept: list[TrialRecord] = []
    with pytest.raises(StudyPaused, match="could not be evaluated again"):
        rescore(run, lambda: [recorded(plan, 0)], kept.append)
    assert kept == []


def test_only_complete_trials_that_were_evaluated_in_another_way_are_outdated(plan: StudyPlan) -> None:
    other = recorded(plan, 0)
    failed = replace(other, result=replace(other.result, status=Status.FAILED))
    record = replace(study_record([]), base=None, trials=(other, failed))
    assert outdated_explored(plan, record) == [other]


def looked_at(examples: int, looks: tuple[int, ...] = (3,)) -> StudyRecord:
    record = certified_record(examples=80)
    assert record.certification is not None
    return replace(record, certification=replace(record.certification, examples=examples, looks=looks))


@pytest.mark.parametrize(
    ("examples", "looks", "kept"),
    [(100, (3,), 100), (80, (3,), 90), (0, (3,), 90), (100, (), 90)],
)
def test_a_verdict_keeps_the_examples_of_its_looks(
    plan: StudyPlan, examples: int, looks: tuple[int, ...], kept: int
) -> None:
    assert with_examples_kept(plan, looked_at(examples, looks)).setup.scoring.certify_examples == kept


def test_records_of_earlier_versions_keep_the_examples_that_were_evaluated(plan: StudyPlan) -> None:
    fewer = replace(plan, setup=replace(plan.setup, scoring=replace(plan.setup.scoring, certify_examples=20)))
    assert with_examples_kept(fewer, looked_at(0)).setup.scoring.certify_examples == 80


def test_the_verdict_uses_the_examples_that_all_trials_have() -> None:
    certification = certified_record(examples=80).certification
    assert certification is not None
    assert common_examples(certification) == 80
    short = replace(certification.trials[0], nats=certification.trials[0].nats[:50])
    assert common_examples(replace(certification, trials=(short, *certification.trials[1:]))) == 50
