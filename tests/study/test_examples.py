"""How many certify examples a study chooses, and when it adds some."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.commands.app import composed_plan
from sweep.records import LoadReport, MeanTokens, StudyPlan, StudyRecord, TrialRecord
from sweep.study.examples import first_examples, with_certify_examples, with_examples_kept
from sweep.study.next_step import AddExamples, Finish, TrainLadder, next_step
from sweep.verdict import Verdict
from sweep.verdict.conclude import conclude
from sweep.verdict.record import Need
from tests.conftest import arm, certified_record, result, study_record


def explored(train_seconds: float, eval_seconds: float) -> StudyRecord:
    """One explored trial on 128 examples."""
    ended = result(arm(32), 0.3)
    assert ended.measures is not None
    measured = replace(ended.measures, train_seconds=train_seconds, eval_seconds=eval_seconds)
    return study_record([replace(ended, measures=measured)])


@cache
def planned(*overrides: str) -> StudyPlan:
    """400 rows of training."""
    return composed_plan(["task=pharma", "train.steps=100", "train.batch_size=4", *overrides])


TOKENS = {"train": MeanTokens(100, 10), "certify": MeanTokens(80, 10)}


@pytest.mark.parametrize(
    ("overrides", "certify", "available", "chosen"),
    [
        # a quarter of 4 * 400 * 100 operations is that of 200 examples of 80 + 2 * 10 tokens, 2 operations each
        ((), TOKENS["certify"], 5000, 100),
        (("certify.ladder_by=train",), TOKENS["certify"], 5000, 200),
        (("certify.ladder_by=train", "evaluate.answers=none"), TOKENS["certify"], 5000, 250),
        (("certify.ladder_by=train", "train.gradient_accumulation=3"), TOKENS["certify"], 5000, 600),
        (("certify.ladder_by=train",), TOKENS["certify"], 180, 180),
        (("certify.ladder_by=train",), MeanTokens(4000, 10), 5000, 100),
        (("certify.ladder_by=train",), MeanTokens(4000, 10), 60, 60),
        (("certify.ladder_by=train",), MeanTokens(0, 0), 5000, 100),
        (("certify.ladder=[4,32]",), TOKENS["certify"], 5000, 200),
    ],
)
def test_evaluating_takes_a_quarter_of_the_work_of_training(
    overrides: tuple[str, ...], certify: MeanTokens, available: int, chosen: int
) -> None:
    tokens = {**TOKENS, "certify": certify}
    assert first_examples(planned(*overrides), tokens, available) == chosen


def test_replayed_text_and_virtual_tokens_count() -> None:
    plan = planned("certify.ladder_by=train")
    with_passages = {**TOKENS, "replay": MeanTokens(900, 900)}
    assert first_examples(plan, with_passages, 5000) == 200
    replayed = replace(plan, training=replace(plan.training, replay=0.25))
    assert first_examples(replayed, with_passages, 5000) == 600
    prompted = replace(plan, arm=replace(plan.arm, method="prompt_tuning", own=(("tokens", 100),)))
    assert first_examples(prompted, TOKENS, 5000) == int(0.25 * 4 * 400 * 200 / (2 * 200))


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_how_fast_a_machine_is_does_not_matter(train_seconds: float, eval_seconds: float) -> None:
    plan = planned("certify.ladder_by=train")
    loaded = LoadReport("made", "base", 0, 0, (), 512, 0, 0.0, "cpu", "data", {}, {"certify": 5000}, tokens=TOKENS)
    chosen = with_certify_examples(plan, explored(train_seconds, eval_seconds), loaded)
    assert chosen.setup.scoring.certify_examples == 200


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=15, deadline=None)
def test_nor_does_it_matter_for_what_settles_an_open_verdict(train_seconds: float, eval_seconds: float) -> None:
    record = certified_record({2: 0.9, 4: 0.33, 8: 0.3}, ladder_by="cut", example_noise=0.1, examples=40)
    record = replace(record, available={"certify": 5000})
    certification = record.certification
    assert certification is not None

    def timed(trial: TrialRecord) -> TrialRecord:
        measures = trial.result.measures
        assert measures is not None
        spent = replace(measures, train_seconds=train_seconds, eval_seconds=eval_seconds)
        return replace(trial, result=replace(trial.result, seconds=train_seconds + eval_seconds, measures=spent))

    slow = replace(record, certification=replace(certification, trials=tuple(map(timed, certification.trials))))
    needs = [found.verdict.needed for each in (record, slow) if (found := conclude(each)) and found.verdict]
    assert needs[0] is not None
    assert needs[0] == needs[1]


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
