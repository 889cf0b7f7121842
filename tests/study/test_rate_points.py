"""What a trial says about its learning rate: its loss on tune, and the losses of its last steps on examples not seen before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sweep.records import Arm, Status, StepLoss, StudyRecord, Training, TrialResult
from sweep.study.rate_points import rate_points, rates_tried
from tests.conftest import arm, result, study_record

STEPS, BATCH, ON_TUNE = 30, 4, 128
LATE = 10
RECIPE = arm(32)


def trial(rate: float, tune: float, early: float, late: float, seed: int = 0) -> TrialResult:
    """A trial whose training loss is one value in its last third, and another before."""
    ended = result(arm(32, learning_rate=rate), tune)
    losses = [early] * (STEPS - LATE) + [late] * LATE
    return replace(
        ended,
        spec=replace(ended.spec, training=Training(steps=STEPS, batch_size=BATCH), seed=seed),
        history=tuple(StepLoss(step, loss, rate) for step, loss in enumerate(losses, 1)),
    )


def record(trials: Sequence[TrialResult], train: int = STEPS * BATCH) -> StudyRecord:
    return replace(study_record(trials), available={"train": train})


def losses(of: StudyRecord, recipe: Arm = RECIPE) -> dict[float, float]:
    return {point.rate: point.loss for point in rate_points(of, recipe)}


def test_the_last_third_of_the_steps_counts_by_its_examples() -> None:
    seen = losses(record([trial(1e-3, tune=0.3, early=9.0, late=0.8)]))
    unseen = LATE * BATCH
    assert seen == {1e-3: pytest.approx((0.3 * ON_TUNE + 0.8 * unseen) / (ON_TUNE + unseen))}


def test_steps_can_decide_between_rates_that_are_alike_on_tune() -> None:
    seen = losses(record([trial(1e-3, 0.32, 1.0, 0.7), trial(3e-3, 0.33, 1.0, 0.5)]))
    assert seen[3e-3] < seen[1e-3]


@pytest.mark.parametrize("train", [0, STEPS * BATCH - 1])
def test_examples_that_may_have_been_seen_before_do_not_count(train: int) -> None:
    assert losses(record([trial(1e-3, 0.32, 1.0, 0.7), trial(3e-3, 0.33, 1.0, 0.5)], train)) == {1e-3: 0.32, 3e-3: 0.33}


def test_trials_are_compared_on_the_same_examples() -> None:
    """One without a history, as records of earlier versions may be, or with another seed: tune alone counts for all."""
    whole = trial(3e-3, 0.33, 1.0, 0.5)
    for other in (replace(trial(1e-3, 0.32, 1.0, 0.7), history=()), trial(1e-3, 0.32, 1.0, 0.7, seed=1)):
        assert losses(record([other, whole])) == {1e-3: 0.32, 3e-3: 0.33}


def test_a_rate_that_diverged_is_worse_than_any_and_other_failures_say_nothing() -> None:
    diverged = result(arm(32, learning_rate=9e-3), None, Status.FAILED, "diverged: the loss was nan at step 3")
    died = result(arm(32, learning_rate=5e-3), None, Status.FAILED, "the worker died")
    assert losses(record([diverged, died])) == {9e-3: float("inf")}


def test_other_recipes_do_not_count_and_what_is_shown_is_tune_alone() -> None:
    other = result(arm(32, dropout=0.1, learning_rate=2e-3), 0.1)
    of = record([trial(3e-3, 0.33, 1.0, 0.5), other, trial(1e-3, 0.32, 1.0, 0.7)])
    assert set(losses(of)) == {1e-3, 3e-3}
    assert rates_tried(of, RECIPE, 32) == ((1e-3, 0.32), (3e-3, 0.33))
    assert rates_tried(of, RECIPE, 8) == ()
