"""Trials that were scored otherwise are scored again: each record is kept, what fails is said and left for another call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Provenance, Stage, Status, StudyPlan, StudyRecord, TrialRecord
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study import rescoring
from sweep.study.display import Silent
from sweep.study.invocation import Invocation
from sweep.study.rescoring import examples_of_all, outdated_explored, with_examples_kept
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from tests.conftest import certified_record, result, study_record
from tests.study.test_checks import LOADED
from tests.study.test_invocation import EndsAtOnce


@dataclass
class Noting(Silent):
    """A display that remembers what it was asked to say."""

    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)


class WithRoom:
    """A pool that always has room."""

    def has_free_slot(self) -> bool:
        return True


@pytest.fixture
def plan(made_task: Path) -> StudyPlan:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"]
    return composed_plan([*words, "evaluate.certify_examples=90"])


def recorded(plan: StudyPlan, number: int, stage: Stage = Stage.EXPLORE) -> TrialRecord:
    """A complete trial that was scored with another metric."""
    made = result(plan.arm, 0.5)
    spec = replace(made.spec, identity="e" * 32, stage=stage, training=plan.training)
    provenance = Provenance({}, "cpu", "made", LOADED.base_hash, LOADED.data_hash, 1)
    return TrialRecord(number, replace(made, spec=spec, provenance=provenance), f"run-{number}")


def call_with(plan: StudyPlan, ends: list[Status], tmp_path: Path) -> tuple[Invocation, Noting, EndsAtOnce]:
    session, display, paths = EndsAtOnce(ends), Noting(), Paths(tmp_path)
    made: Any = session
    made.stop, made.store, made.pool = StopRequest(), TrialStore(paths), WithRoom()
    return Invocation(plan, paths, display, cast(Session, session), LOADED, 0.0), display, session


def test_two_records_of_one_arm_are_both_kept(plan: StudyPlan, tmp_path: Path) -> None:
    call, _, session = call_with(plan, [Status.COMPLETE], tmp_path)
    left = [recorded(plan, 0), recorded(plan, 3)]
    kept: list[int] = []

    def keep(earlier: TrialRecord, record: TrialRecord) -> None:
        kept.append(earlier.number)
        left.remove(earlier)

    assert rescoring._rescore(call, lambda: list(left), keep)
    assert kept == [0, 3]
    assert len(session.begun) == 1
    assert session.begun[0].identity != "e" * 32


def test_what_cannot_be_scored_is_said_and_stays(plan: StudyPlan, tmp_path: Path) -> None:
    call, display, _ = call_with(plan, [Status.INFEASIBLE], tmp_path)
    assert not rescoring._rescore(call, lambda: [recorded(plan, 0)], lambda earlier, record: None)
    assert any("could not be scored again" in note for note in display.notes)


def test_only_complete_trials_that_were_scored_otherwise_are_outdated(plan: StudyPlan) -> None:
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
def test_a_verdict_keeps_the_examples_that_it_rests_on(
    plan: StudyPlan, examples: int, looks: tuple[int, ...], kept: int
) -> None:
    assert with_examples_kept(plan, looked_at(examples, looks)).setup.scoring.certify_examples == kept


def test_records_of_earlier_versions_rest_on_what_was_scored(plan: StudyPlan) -> None:
    fewer = replace(plan, setup=replace(plan.setup, scoring=replace(plan.setup.scoring, certify_examples=20)))
    assert with_examples_kept(fewer, looked_at(0)).setup.scoring.certify_examples == 80


def test_the_verdict_is_computed_on_the_examples_of_all() -> None:
    certification = certified_record(examples=80).certification
    assert certification is not None
    assert examples_of_all(certification) == 80
    short = replace(certification.trials[0], nats=certification.trials[0].nats[:50])
    assert examples_of_all(replace(certification, trials=(short, *certification.trials[1:]))) == 50
