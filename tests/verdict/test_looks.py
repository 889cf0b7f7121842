"""Looks at more and more seeds: what they cost, what they keep, and who needs more seeds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from sweep.verdict import Verdict, active_ranks, judge, judge_looks, levels, spent
from tests.verdict.studies import base_of, losses_of

LADDER = (2, 4, 8, 16)


def looked(
    losses: Any, looks: tuple[int, ...], ranks: tuple[int, ...] = LADDER, margin: float = 0.02, **changes: Any
) -> Verdict:
    return judge_looks(list(losses), ranks, looks, **{"margin": margin, "base": base_of(), **changes})


def bounds(alpha: float, looks: tuple[int, ...]) -> list[float]:
    """How many standard errors beyond the margin a look asks for."""
    return [float(norm.isf(level)) for level in levels(alpha, looks)]


def test_spending() -> None:
    assert [spent(0.05, seeds) for seeds in (1, 2, 3, 5)] == pytest.approx([0, 0.0125, 0.025, 0.035])
    assert all(spent(0.05, few) < spent(0.05, more) < 0.05 for few, more in pairwise([2, 3, 10, 100, 10_000]))


def test_one_look_has_the_level_that_is_spent() -> None:
    assert levels(0.05, (3,)) == (spent(0.05, 3),)
    assert levels(0.05, (3, 5, 8))[:2] == levels(0.05, (3, 5))


@pytest.mark.parametrize(("alpha", "looks"), [(0.05, (3, 5)), (0.05, (2, 3)), (0.1, (4, 40))])
def test_two_looks_together_err_as_often_as_was_spent(alpha: float, looks: tuple[int, int]) -> None:
    first, second = bounds(alpha, looks)
    correlation = np.sqrt(looks[0] / looks[1])
    neither = multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf([first, second])
    assert 1 - neither == pytest.approx(spent(alpha, looks[1]), abs=2e-5)


def test_levels_of_many_looks_by_simulation() -> None:
    looks = (2, 3, 5, 8, 13)
    sums = np.cumsum(np.random.default_rng(0).standard_normal((200_000, looks[-1])), axis=1)
    crossed = np.zeros(len(sums), bool)
    for look, bound in zip(looks, bounds(0.05, looks), strict=True):
        crossed |= sums[:, look - 1] / np.sqrt(look) > bound
        assert crossed.mean() == pytest.approx(spent(0.05, look), abs=0.0015)


def test_one_look_is_judge_at_its_level() -> None:
    losses = losses_of((0.5, 0.22, 0.2, 0.2))
    once = judge(losses, LADDER, margin=0.02, base=base_of(), alpha=spent(0.05, 5))
    look = looked(losses, (5,))
    assert (look.alpha, look.level) == (0.05, spent(0.05, 5))
    for field in ("state", "mean", "upper_bound", "lower_bound", "bracket", "seeds"):
        assert getattr(look, field) == getattr(once, field), field


def test_ranks_shown_inferior_need_no_more_seeds() -> None:
    losses = losses_of((2.0, 0.24, 0.2, 0.2), seeds=8, seed_sd=0.05)
    first = looked(losses[:, :3], (3, 5, 8))
    assert first.state[0] == "inferior"
    assert active_ranks(first) == (4, 8, 16)
    assert first.reasons[-1] == "The look at 5 seeds was not taken: too few seeds at rank 4, 8, 16."
    ragged = [losses[0, :3], *losses[1:]]
    second = looked(ragged, (3, 5, 8))
    assert second.state[0] == "inferior"
    assert second.seeds[0] == 3
    assert (second.lower_bound[0], second.upper_bound[0]) == (first.lower_bound[0], first.upper_bound[0])
    assert second == looked(losses, (3, 5, 8))  # further seeds of a rank that is out are not looked at


def test_what_was_shown_stays() -> None:
    losses = losses_of((0.9, 0.25, 0.2, 0.2), seeds=5)
    before = looked(losses[:, :3], (3, 5))
    # from the fourth seed on everything is upside down
    turned = losses.copy()
    turned[:, 3:] = 1.2 - turned[:, 3:]
    after = looked(turned, (3, 5))
    for was, stays in zip(before.state, after.state, strict=True):
        assert was in ("undecided", stays)
    assert "inferior" in before.state


def test_a_closed_bracket_ends_the_looks() -> None:
    losses = losses_of((0.9, 0.2, 0.2, 0.2), seeds=8, seed_sd=0.002, example_sd=0.002)
    verdict = looked(losses, (3, 5, 8))
    assert verdict.bracket == (4, 4)
    assert verdict.seeds == (3, 3, 3, 3)
    assert (verdict.level, verdict.reasons, active_ranks(verdict)) == (spent(0.05, 3), (), ())


def test_a_rank_that_is_needed_and_lacks_seeds_stops_the_looks() -> None:
    losses: list[NDArray[np.float64]] = list(losses_of((0.24, 0.22, 0.2, 0.2), seeds=8, seed_sd=0.1))
    losses[2] = losses[2][:4]
    verdict = looked(losses, (3, 5, 8))
    assert max(verdict.seeds) == 3
    assert "The look at 5 seeds was not taken: too few seeds at rank 8." in verdict.reasons


def test_no_look_can_be_taken() -> None:
    verdict = looked(losses_of((0.24, 0.2, 0.2, 0.2), seeds=2), (3, 5))
    assert (verdict.status, set(verdict.state)) == ("undecided", {"undecided"})
    assert any("look at 3 seeds was not taken" in reason for reason in verdict.reasons)
    assert active_ranks(verdict) == LADDER


def test_looks_may_be_extended() -> None:
    losses = losses_of((0.9, 0.25, 0.2, 0.2), seeds=12, seed_sd=0.06, draw=2)
    short, long = looked(losses, (3, 5)), looked(losses, (3, 5, 12))
    for was, becomes in zip(short.state, long.state, strict=True):
        assert was in ("undecided", becomes)
    assert short.seeds_needed is None or short.seeds_needed > 5


@pytest.mark.parametrize("looks", [(), (1, 3), (3, 3), (5, 3), (2.5,)])
def test_looks_that_are_none(looks: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="looks: must be ascending whole numbers of seeds, at least 2"):
        looked(losses_of((0.2, 0.2, 0.2, 0.2)), looks)
