"""What is left of a study, and the time and disk it takes, estimated from measured trials only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Split, Stage, Status, StudyPlan, TrialResult
from sweep.reports.countdown import Countdown, Cuts
from sweep.reports.forecast import (
    Span,
    adapter_bytes_left,
    cut_seconds,
    cuts_left,
    plan_line,
    time_left,
    trial_seconds,
    trials_left,
)
from tests.conftest import arm, certified_record, cut_record, result, study_record


def plan(*overrides: str) -> StudyPlan:
    """Five ranks, three to five seeds, eight search trials, six rate trials."""
    words = (
        "evaluate.examples=128",
        "certify.rate_trials=6",
        "certify.first_look=3",
        "certify.ladder=[2,4,8,16,32]",
        "certify.seeds=5",
        "search.trials=8",
        "executor.workers=1",
    )
    made = composed_plan([*words, *overrides])
    return replace(made, slots=1, declaration=replace(made.declaration, ladder_by="train"))


def taking(seconds: float, stage: Stage = Stage.EXPLORE, identity: str = "a") -> TrialResult:
    ended = result(arm(8), 0.5)
    split = Split.CERTIFY if stage is Stage.CERTIFY else Split.TUNE
    return replace(ended, seconds=seconds, spec=replace(ended.spec, stage=stage, split=split, identity=identity))


def test_a_new_study_has_everything_left_and_no_estimate() -> None:
    left = trials_left(plan(), None)
    assert left == {Stage.EXPLORE: Span(8, 8), Stage.RATES: Span(6, 6), Stage.CERTIFY: Span(15, 25)}
    assert time_left(plan(), None) is None
    assert plan_line(plan(), study_record([], base_loss=None)) == (
        "plan: 8 search trials; about 6 trials to tune learning rates; 15 to 25 trials for the verdict (5 ranks, 3 to 5 seeds "
        "each); time and disk unknown until the first trial"
    )


def test_a_resumed_study_is_estimated_from_its_own_trials() -> None:
    record = study_record([taking(60.0), taking(120.0)])
    line = plan_line(plan("certify=none"), record)
    assert line == (
        "plan: 6 search trials (2 done); about 9 min, adapters about 7.4 MB (estimated from 2 finished trials)"
    )


def test_a_finished_search_has_nothing_left() -> None:
    record = study_record([taking(60.0)])
    assert plan_line(plan("certify=none", "search.trials=1"), record) == "plan: no trial is left to train"


def test_failed_trials_count_as_done_and_are_not_measured() -> None:
    record = study_record([result(arm(8), None, Status.FAILED, "broke")])
    assert trials_left(plan("certify=none"), record)[Stage.EXPLORE] == Span(7, 7)
    assert time_left(plan("certify=none"), record) is None


def test_a_certified_study_has_only_seeds_left() -> None:
    record = certified_record(seeds=3)
    left = trials_left(plan("search.trials=1"), record)
    assert (left[Stage.RATES], left[Stage.CERTIFY]) == (Span(0, 0), Span(0, 10))


def test_trials_side_by_side_share_the_time() -> None:
    record = study_record([taking(60.0), taking(60.0)])
    alone = time_left(plan("certify=none"), record)
    two = time_left(replace(plan("certify=none"), slots=2), record)
    assert alone == Span(360, 360)
    assert two == Span(180, 180)


def test_more_certify_examples_take_longer() -> None:
    asked = plan("evaluate.examples=100", "evaluate.certify_examples=300")
    assert trial_seconds(asked, [taking(60.0)], Stage.CERTIFY) == pytest.approx(60 + 2 * 2.0)  # 2 s of evaluation
    own = taking(90.0, Stage.CERTIFY)
    assert trial_seconds(asked, [taking(60.0), own], Stage.CERTIFY) == 90.0


def test_the_budget_caps_the_time() -> None:
    record = study_record([taking(600.0)])
    assert time_left(plan("budget.wall_clock=20m"), record) == Span(1200, 1200)
    assert "budget.wall_clock=20 min 0 s" in plan_line(plan("budget.wall_clock=20m"), record)


def test_adapters_grow_with_rank() -> None:
    small = adapter_bytes_left(plan("certify=none", "search.space.rank=[2,4]"), study_record([taking(1.0)]))
    large = adapter_bytes_left(plan("certify=none", "search.space.rank=[8,16]"), study_record([taking(1.0)]))
    assert small is not None
    assert large is not None
    assert large.most == pytest.approx(4 * small.most)


class TestCountdown:
    def test_nothing_is_estimated_before_a_trial_was_measured(self) -> None:
        assert Countdown(plan(), study_record([])).left(Stage.EXPLORE, 8, [], 0) is None

    def test_later_stages_are_included(self) -> None:
        countdown = Countdown(plan("evaluate.certify_examples=128"), study_record([]))
        countdown.add(taking(10.0))
        assert countdown.left(Stage.EXPLORE, 7, [], 1) == Span((7 + 6 + 15) * 10, (7 + 6 + 25) * 10)

    def test_the_current_stage_counts_what_is_running(self) -> None:
        countdown = Countdown(plan("certify=none"), study_record([]))
        countdown.add(taking(10.0))
        assert countdown.left(Stage.EXPLORE, 3, [4.0], 4) == Span(36, 36)
        assert countdown.left(Stage.EXPLORE, 0, [4.0], 7) == Span(6, 6)
        assert countdown.left(Stage.EXPLORE, 0, [], 8) == Span(0, 0)

    def test_more_seeds_may_follow(self) -> None:
        countdown = Countdown(plan(), study_record([]))
        countdown.add(taking(10.0, Stage.CERTIFY))
        assert countdown.left(Stage.CERTIFY, 5, [], 10) == Span(50, 150)

    def test_a_base_that_was_evaluated_says_nothing_of_trials(self) -> None:
        countdown = Countdown(plan(), study_record([]))
        countdown.add(result(None, 4.0))
        assert countdown.left(Stage.EXPLORE, 8, [], 0) is None
        assert countdown.left(Stage.EXPLORE, 8, [], 0, guess=1.0) is not None

    def test_the_budget_runs_out(self) -> None:
        clock = [0.0]
        countdown = Countdown(plan("budget.wall_clock=60s"), study_record([]), now=lambda: clock[0])
        countdown.add(taking(30.0))
        clock[0] = 45.0
        assert countdown.left(Stage.EXPLORE, 7, [], 1) == Span(15, 15)


def cut_plan(*overrides: str, confirm: bool = False) -> StudyPlan:
    """Six ranks, cut from the largest; three to four seeds."""
    made = plan("certify.ladder=[1,2,4,8,16,32]", "certify.seeds=4", *overrides)
    return replace(made, declaration=replace(made.declaration, ladder_by="cut", confirm=confirm))


def cutting(seconds: float, identity: str = "c") -> TrialResult:
    ended = taking(seconds, Stage.CERTIFY, identity)
    return replace(ended, spec=replace(ended.spec, arm=replace(arm(4), cut_from=32)))


class TestCutLadder:
    def test_only_the_largest_rank_is_trained(self) -> None:
        left = trials_left(cut_plan(), None)
        assert left == {Stage.EXPLORE: Span(8, 8), Stage.RATES: Span(6, 6), Stage.CERTIFY: Span(3, 4)}
        assert cuts_left(cut_plan(), None) == Span(15, 20)
        assert cuts_left(plan(), None) == Span(0, 0)
        assert plan_line(cut_plan("certify.first_look=4"), study_record([], base_loss=None)) == (
            "plan: 8 search trials; about 6 trials to tune the learning rate at rank 32; 4 trainings at rank 32, cut to 5 smaller "
            "ranks each; time and disk unknown until the first trial"
        )

    def test_confirming_is_planned_and_may_not_be_needed(self) -> None:
        asked = cut_plan(confirm=True)
        assert trials_left(asked, None)[Stage.CONFIRM] == Span(0, 6 + 4)
        line = "; up to 10 trainings to confirm the chosen rank, those that tune its learning rate included; "
        assert line in plan_line(asked, study_record([]))

    def test_what_is_done_is_not_planned_again(self) -> None:
        record = cut_record(seeds=3)
        asked = cut_plan("search.trials=1")
        assert trials_left(asked, record)[Stage.CERTIFY] == Span(0, 1)
        assert cuts_left(asked, record) == Span(0, 5)
        assert record.certification is not None
        trained = tuple(trial for trial in record.certification.trials if trial.rank == 32)
        only_trained = replace(record, certification=replace(record.certification, trials=trained))
        three = cut_plan("search.trials=1", "certify.seeds=3")
        assert "plan: 15 adapters to cut from rank 32 and evaluate; about 30 s" in plan_line(three, only_trained)
        assert plan_line(three, record) == "plan: no trial is left to train"

    def test_a_ladder_of_the_other_kind_is_not_counted(self) -> None:
        assert trials_left(cut_plan(), certified_record())[Stage.CERTIFY] == Span(3, 4)

    def test_a_cut_takes_as_long_as_an_evaluation(self) -> None:
        asked = cut_plan("evaluate.examples=100", "evaluate.certify_examples=300")
        explored = taking(60.0)  # of which 2 s are evaluation
        assert cut_seconds(asked, []) is None
        assert cut_seconds(asked, [explored]) == pytest.approx(3 * 2.0)
        assert cut_seconds(asked, [explored, cutting(5.0)]) == 5.0
        assert trial_seconds(asked, [explored, cutting(5.0)], Stage.CERTIFY) == pytest.approx(60 + 2 * 2.0)

    def test_time_counts_trainings_and_evaluations_apart(self) -> None:
        asked = cut_plan(
            "certify.first_look=4", "search.trials=1", "certify.rate_trials=2", "evaluate.certify_examples=128"
        )
        left = time_left(asked, study_record([taking(60.0)]))
        assert left is not None
        assert left.most == pytest.approx((2 + 4) * 60 + 20 * 2.0)

    def test_adapters_of_every_rank_are_stored(self) -> None:
        asked = cut_plan("certify.first_look=4", "search.trials=1", "certify.rate_trials=1")
        size = adapter_bytes_left(asked, study_record([taking(1.0)]))
        assert size is not None
        assert size.most == pytest.approx((32 + 4 * (1 + 2 + 4 + 8 + 16 + 32)) * 100_000)

    def test_the_time_left_counts_a_cut_as_an_evaluation(self) -> None:
        countdown = Countdown(cut_plan("certify.first_look=4"), study_record([]))
        countdown.add(taking(60.0, Stage.CERTIFY))
        countdown.add(cutting(3.0))
        left = countdown.left(Stage.CERTIFY, 2, [40.0], 1, cuts=Cuts(18, [1.0], 1))
        assert left == Span(2 * 60 + 20 + 18 * 3 + 2, 2 * 60 + 20 + 18 * 3 + 2)
        assert countdown.left(Stage.CERTIFY, 0, [], 4, cuts=Cuts(2, [], 18)) == Span(6, 6)
        assert countdown.left(Stage.CERTIFY, 0, [], 4, cuts=Cuts(0, [], 20)) == Span(0, 0)

    def test_tuning_a_rate_to_confirm_does_not_bring_the_ladder_back(self) -> None:
        countdown = Countdown(cut_plan("certify.first_look=4", confirm=True), study_record([]))
        countdown.add(taking(60.0, Stage.RATES))
        countdown.add(taking(60.0, Stage.CERTIFY))
        countdown.add(cutting(3.0))
        before = countdown.left(Stage.RATES, 0, [], 6)
        assert before == Span(4 * 60 + 20 * 3, 4 * 60 + 20 * 3 + (6 + 4) * 60)
        countdown.left(Stage.CERTIFY, 0, [], 4, cuts=Cuts(0, [], 20))
        assert countdown.left(Stage.RATES, 1, [], 0) == Span(60 + 4 * 60, 60 + 4 * 60)
        assert countdown.left(Stage.CONFIRM, 3, [], 1) == Span(180, 180)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(41, 41), "about 41 s"),
        (Span(725, 725), "about 12 min"),
        (Span(700, 1210), "about 12 min to 20 min"),
        (Span(1100, 1210), "about 20 min"),
        (Span(0, 1210), "at most 20 min"),
        (Span(5400, 5400), "about 1 h 30 min"),
    ],
)
def test_estimates_are_shown_roughly(span: Span, text: str) -> None:
    assert span.seconds() == text
