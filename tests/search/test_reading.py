"""Importances need enough trials, and cover the parameters that vary."""

from __future__ import annotations

import optuna
import pytest

from sweep.search.reading import FEWEST_TRIALS, importances_of

RATE = optuna.distributions.FloatDistribution(1e-3, 1e-2, log=True)
RANK = optuna.distributions.IntDistribution(1, 5)


def study(trials: int, best: float = 4e-3) -> optuna.Study:
    made = optuna.create_study()
    for number in range(trials):
        rate = 1e-3 * 10 ** (number / max(1, trials - 1))
        params = {"learning_rate": rate, "log2_r": 3}
        made.add_trial(
            optuna.trial.create_trial(
                params=params,
                distributions={"learning_rate": RATE, "log2_r": RANK},
                value=abs(rate - best) if best else 1.0,
            )
        )
    return made


@pytest.mark.parametrize("trials", [0, FEWEST_TRIALS - 1])
def test_too_few_trials_give_no_importances(trials: int) -> None:
    assert importances_of(study(trials)).all == {}


def test_a_parameter_that_does_not_vary_is_left_out() -> None:
    assert set(importances_of(study(20)).all) == {"learning_rate"}


def test_shares_sum_to_one() -> None:
    assert sum(importances_of(study(20)).all.values()) == pytest.approx(1.0)


def test_trials_that_are_all_equally_good_give_none() -> None:
    assert importances_of(study(20, best=0.0)).all == {}
