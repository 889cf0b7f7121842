"""How many certify examples a study chooses, and when it adds some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import StudyPlan, StudyRecord
from sweep.study.examples import first_examples, with_examples_kept
from sweep.study.next_step import AddExamples, Finish, TrainLadder, next_step
from sweep.verdict import Verdict
from sweep.verdict.conclude import conclude
from sweep.verdict.record import Need
from tests.conftest import arm, certified_record, result, study_record


def explored(train_seconds: float, seconds_per_example: float) -> StudyRecord:
    """One explored trial on 128 examples."""
    ended = result(arm(32), 0.3)
    assert ended.measures is not None
    measured = replace(ended.measures, train_seconds=train_seconds, eval_seconds=128 * seconds_per_example)
    return study_record([replace(ended, measures=measured)])


@pytest.mark.parametrize(
    ("ladder_by", "seconds_per_example", "available", "chosen"),
    [
        ("cut", 0.01, 5000, 250),  # five cuts of 250 examples take 12.5 of 50 seconds
        ("train", 0.01, 5000, 1250),
        ("cut", 0.01, 180, 180),
        ("cut", 1.0, 5000, 100),
        ("cut", 1.0, 60, 60),
        ("cut", 0.0, 5000, 100),
    ],
)
def test_evaluating_costs_a_quarter_of_training(
    ladder_by: str, seconds_per_example: float, available: int, chosen: int
) -> None:
    plan = composed_plan(["task=pharma", f"certify.ladder_by={ladder_by}"])
    assert first_examples(plan, explored(50.0, seconds_per_example), available) == chosen


def test_the_number_chosen_is_kept() -> None:
    plan = composed_plan(["task=pharma"])
    assert plan.adds_examples
    assert plan.setup.scoring.certify_examples is None
    record = certified_record(ladder_by="cut", looks=(3,))
    assert record.certification is not None
    chosen = replace(record, certification=replace(record.certification, planned_examples=130, looks=()))
    assert with_examples_kept(plan, chosen).setup.scoring.certify_examples == 130
    given = composed_plan(["task=pharma", "evaluate.certify_examples=90"])
    assert not given.adds_examples
    assert with_examples_kept(given, chosen).setup.scoring.certify_examples == 90, "a number that is given is used"
    looked_at = replace(record, certification=replace(record.certification, planned_examples=130, examples=200))
    assert with_examples_kept(plan, looked_at).setup.scoring.certify_examples == 200, "a look cannot be undone"


def open_study(available: int, seeds: int = 3) -> tuple[StudyPlan, StudyRecord, Verdict]:
    """Rank 4 is open after three seeds; the data has this many certify examples."""
    record = certified_record({2: 0.9, 4: 0.33, 8: 0.3}, ladder_by="cut", example_noise=0.1, examples=40)
    declared = replace(record.declaration, seeds=seeds)
    record = replace(record, available={"certify": available}, declaration=declared)
    plan = replace(composed_plan(["task=pharma"]), seed=-1, workers=1, arm=arm(), declaration=declared)
    conclusion = conclude(record)
    assert conclusion is not None
    assert conclusion.verdict is not None
    assert not conclusion.verdict.closed
    return plan, record, replace(conclusion.verdict, futile=None)


def test_examples_are_added_where_no_seeds_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, record, verdict = open_study(5000)
    by_examples = replace(verdict, needed=Need(19, 40), examples_needed=300)
    monkeypatch.setattr("sweep.study.next_step._verdict", lambda *_: by_examples)
    assert next_step(plan, record) == AddExamples(300)
    given = replace(plan, adds_examples=False)
    assert isinstance(next_step(given, record), Finish), "a number of examples that is given is used as it is"
    assert isinstance(next_step(plan, replace(record, available={"certify": 299})), Finish)
    assert isinstance(next_step(plan, replace(record, available={})), Finish)


def test_the_cheaper_way_is_taken_while_both_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, record, verdict = open_study(5000, seeds=5)
    for needed, step in ((Need(3, 300), AddExamples), (Need(5, 40), TrainLadder), (Need(4, 90), AddExamples)):
        now = replace(verdict, needed=needed, examples_needed=400)
        monkeypatch.setattr("sweep.study.next_step._verdict", lambda *_, now=now: now)
        assert isinstance(next_step(plan, record), step), needed


def test_nothing_is_added_that_would_be_futile(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, record, verdict = open_study(5000, seeds=5)
    futile = replace(verdict, needed=Need(3, 300), futile="The 2 seeds that certify.seeds allows would decide nothing.")
    monkeypatch.setattr("sweep.study.next_step._verdict", lambda *_: futile)
    assert next_step(plan, record) == Finish(futile.futile)
