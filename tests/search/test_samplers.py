"""The trials that TPE reads in a very long study."""

from __future__ import annotations

import math
from unittest.mock import patch

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search import samplers
from sweep.search.samplers import BestTrials, make_sampler, window_of, windowed

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def trial(number: int, value: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params={"x": value % 1.0},
        distributions=SPACE,
    )
    made.number = number
    return made


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=60), st.data())
def test_the_window_has_the_best_and_the_latest_by_number(drawn: list[tuple[float, bool]], data: st.DataObject) -> None:
    trials = [
        trial(number, value, TrialState.COMPLETE if complete else TrialState.PRUNED)
        for number, (value, complete) in enumerate(drawn)
    ]
    best = data.draw(st.integers(1, 10))
    most = data.draw(st.integers(best + 1, 40))
    with patch.multiple(samplers, BEST=best, WINDOW=most):
        seen = [each.number for each in window_of(trials, BestTrials())]
    assert seen == sorted(set(seen))
    complete = sorted((each.value, each.number) for each in trials if each.state is TrialState.COMPLETE)
    assert {number for _, number in complete[:best]} <= set(seen)
    assert {each.number for each in trials[best - most :]} <= set(seen)
    assert len(seen) <= most
    if len(trials) <= most:
        assert len(seen) == len(trials)
    assert seen[-1] == trials[-1].number


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 8)), min_size=1, max_size=40), st.data())
def test_the_best_trials_of_an_earlier_call_change_nothing(drawn: list[tuple[float, int]], data: st.DataObject) -> None:
    """Trials end out of order: each after the drawn number of later trials has begun."""
    best = data.draw(st.integers(1, 5))
    most = data.draw(st.integers(best + 1, 12))
    known = BestTrials()
    with patch.multiple(samplers, BEST=best, WINDOW=most):
        for begun in range(1, len(drawn) + 1):
            trials = [
                trial(number, value, TrialState.COMPLETE if number + later < begun else TrialState.RUNNING)
                for number, (value, later) in enumerate(drawn[:begun])
            ]
            seen = [each.number for each in window_of(trials, known)]
            assert seen == [each.number for each in window_of(trials, BestTrials())]


def test_a_windowed_study_shows_the_window_and_tpe_finds_the_minimum() -> None:
    study = optuna.create_study()
    for number in range(samplers.WINDOW + 200):
        x = number * 0.618 % 1.0
        study.add_trial(create_trial(params={"x": x}, distributions=SPACE, value=abs(x - 0.3)))
    assert len(study.get_trials(deepcopy=False)) == samplers.WINDOW + 200
    seen = windowed(study, BestTrials()).get_trials(deepcopy=False)
    assert len(seen) == samplers.WINDOW
    assert study.best_trial.number in {each.number for each in seen}
    sampler = make_sampler("tpe", {}, seed=0)
    study.sampler = sampler
    drawn = [study.ask().suggest_float("x", 0.0, 1.0) for _ in range(5)]
    assert all(math.isclose(x, 0.3, abs_tol=0.05) for x in drawn), drawn
