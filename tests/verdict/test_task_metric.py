"""What a difference in loss is worth in points of the task metric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.verdict.task_metric import loss_of_points, points_of_loss
from tests.conftest import arm, certified_record, result, study_record

LOSSES = {2: 0.45, 4: 0.40, 8: 0.35, 16: 0.30}


def scores(slope: float) -> dict[int, float]:
    return {rank: 0.9 - slope * (loss - 0.30) for rank, loss in LOSSES.items()}


@pytest.mark.parametrize("slope", [0.5, 1.5])
def test_slope_near_the_best_counts_and_not_that_of_the_whole_gain(slope: float) -> None:
    record = certified_record(LOSSES, scores={0: 0.0, **scores(slope)}, seed_noise=1e-6)
    assert points_of_loss(record, 0.04) == pytest.approx(0.04 * slope, rel=1e-3)


def test_one_wild_rank_hardly_moves_it() -> None:
    usual = certified_record(LOSSES, scores=scores(0.5), seed_noise=1e-6)
    wild = certified_record(LOSSES, scores={**scores(0.5), 2: 0.1}, seed_noise=1e-6)
    straight, bent = points_of_loss(usual, 0.04), points_of_loss(wild, 0.04)
    assert straight is not None
    assert bent is not None
    assert bent < 3 * straight


def test_share_of_the_gain_is_used_if_ranks_do_not_differ() -> None:
    record = certified_record(
        dict.fromkeys(LOSSES, 0.3), scores={0: 0.16, **dict.fromkeys(LOSSES, 0.9)}, seed_noise=1e-6
    )
    # a hundredth of the gain of 3.7 nats for a hundredth of the gain of 0.74
    assert points_of_loss(record, 0.037) == pytest.approx(0.0074, rel=1e-3)


@pytest.mark.parametrize("slope", [0.8, 2.0])
def test_least_squares_are_used_if_all_trials_are_close(slope: float) -> None:
    """Most of the gain is the format: its share would say a fifth of a point where ten are at stake."""
    losses = {2: 0.29, 4: 0.28, 8: 0.27, 16: 0.26}
    worth = {rank: 0.8 - slope * (loss - 0.26) for rank, loss in losses.items()}
    record = certified_record(losses, base_loss=6.4, scores={0: 0.0, **worth}, seed_noise=1e-6)
    assert points_of_loss(record, 0.12) == pytest.approx(0.12 * slope, rel=1e-2)


def test_unknown_if_the_metric_does_not_rise() -> None:
    record = certified_record(
        dict.fromkeys(LOSSES, 0.3), scores={0: 0.9, **dict.fromkeys(LOSSES, 0.9)}, seed_noise=1e-6
    )
    assert points_of_loss(record, 0.037) is None


def test_unknown_without_answers_in_any_trial() -> None:
    record = certified_record(answers=False)
    silent = tuple(
        replace(t, result=replace(t.result, measures=replace(t.result.measures, metrics={})))
        for t in record.trials
        if t.result.measures
    )
    assert points_of_loss(replace(record, trials=silent), 0.037) is None


@pytest.mark.parametrize("nothing", [0.0, -1.0])
def test_worth_of_no_margin_is_unknown(nothing: float) -> None:
    assert points_of_loss(certified_record(), nothing) is None
    assert loss_of_points(certified_record(), nothing) is None


def test_points_and_nats_are_changed_back_and_forth() -> None:
    record = certified_record(LOSSES, scores=scores(0.5), seed_noise=1e-6)
    assert loss_of_points(record, 0.02) == pytest.approx(0.04, rel=1e-2)


def test_explored_study_has_a_slope_too() -> None:
    explored = study_record([result(arm(rank), loss) for rank, loss in LOSSES.items()])
    assert points_of_loss(explored, 0.04) is None  # every accuracy is the same
