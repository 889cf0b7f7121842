"""What must not change a verdict, and in which direction the rest must change it, whatever the losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweep.verdict import Verdict, judge
from tests.verdict.studies import base_of, losses_of

LADDER = (2, 4, 8, 16)
EXAMPLES = 12
numbers = st.integers(0, 2**31)
kinds = st.sampled_from(["gain", "loss", "metric"])
means = st.lists(st.sampled_from([0.2, 0.21, 0.25, 0.3, 0.6]), min_size=2, max_size=4)


def study(levels: list[float], draw: int, seeds: int = 3) -> NDArray[np.float64]:
    return losses_of(levels, seeds=seeds, examples=EXAMPLES, draw=draw)


def judged(losses: NDArray[np.float64], margin_of: str = "gain", **changes: Any) -> Verdict:
    margin = {"gain": 0.01, "loss": 0.2, "metric": 0.05}[margin_of]
    arguments = {"margin": margin, "margin_of": margin_of, "base": base_of(EXAMPLES), **changes}
    return judge(losses, LADDER[: len(losses)], **arguments)


def assert_same(first: Verdict, second: Verdict) -> None:
    assert first.state == second.state
    assert first.seeds_needed == second.seeds_needed
    for field in ("mean", "diff_to_best", "upper_bound", "lower_bound", "margin_in_loss"):
        assert getattr(first, field) == pytest.approx(getattr(second, field), rel=1e-9, abs=1e-9), field


@given(means, kinds, numbers)
@settings(max_examples=60, deadline=None)
def test_order_of_seeds_and_examples_does_not_matter(levels: list[float], margin_of: str, draw: int) -> None:
    losses, random = study(levels, draw), np.random.default_rng(draw)
    seeds, examples = random.permutation(3), random.permutation(EXAMPLES)
    base, weights = base_of(EXAMPLES), random.integers(1, 9, EXAMPLES)
    mixed = judged(losses[:, seeds][:, :, examples], margin_of, base=base[examples], weights=weights[examples])
    assert_same(judged(losses, margin_of, base=base, weights=weights), mixed)


@given(means, kinds, numbers, st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_equal_weights_are_no_weights(levels: list[float], margin_of: str, draw: int, weight: float) -> None:
    losses = study(levels, draw)
    assert_same(judged(losses, margin_of), judged(losses, margin_of, weights=np.full(EXAMPLES, weight)))


@given(means, st.sampled_from(["gain", "loss"]), numbers, st.sampled_from([0.25, 0.5, 2.0, 64.0]))
@settings(max_examples=40, deadline=None)
def test_scaling_losses_scales_bounds(levels: list[float], margin_of: str, draw: int, factor: float) -> None:
    losses = study(levels, draw)
    plain, scaled = judged(losses, margin_of), judged(losses * factor, margin_of, base=base_of(EXAMPLES) * factor)
    assert plain.state == scaled.state
    for field in ("mean", "upper_bound", "lower_bound", "margin_in_loss"):
        assert np.multiply(getattr(plain, field), factor) == pytest.approx(getattr(scaled, field), rel=1e-9, abs=1e-9)


@given(means, st.sampled_from(["gain", "metric"]), numbers, st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_constant_for_all_leaves_the_verdict(levels: list[float], margin_of: str, draw: int, constant: float) -> None:
    losses = study(levels, draw)
    moved = judged(losses + constant, margin_of, base=base_of(EXAMPLES) + constant)
    plain = judged(losses, margin_of)
    ladder = tuple(dataclasses.replace(each, mean=mean) for each, mean in zip(plain.ladder, moved.mean, strict=True))
    assert_same(dataclasses.replace(plain, ladder=ladder), moved)


@given(means, kinds, numbers, st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_worse_largest_rank_is_never_certified_for_it(
    levels: list[float], margin_of: str, draw: int, worse: float
) -> None:
    losses = study(levels, draw)
    damaged = losses.copy()
    damaged[-1] += worse
    if judged(losses, margin_of).state[-1] != "certified":
        assert judged(damaged, margin_of).state[-1] != "certified"


@given(means, kinds, numbers, st.floats(0, 0.5))
@settings(max_examples=60, deadline=None)
def test_a_worse_rank_is_no_nearer_to_the_best(levels: list[float], margin_of: str, draw: int, worse: float) -> None:
    losses = study(levels, draw)
    damaged = losses.copy()
    damaged[0] += worse
    before, after = judged(losses, margin_of), judged(damaged, margin_of)
    if before.state[0] == "inferior":
        assert after.state[0] == "inferior"
    # the ranks above find it easier to be certified, which may let the sequence reach the first; itself it cannot gain
    if (
        before.status == after.status == "certified"
        and before.state[1:] == after.state[1:]
        and before.state[0] == "undecided"
    ):
        assert after.state[0] != "certified"


@given(means, kinds, numbers, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
@settings(max_examples=60, deadline=None)
def test_a_smaller_alpha_never_shows_more(
    levels: list[float], margin_of: str, draw: int, one: float, two: float
) -> None:
    losses = study(levels, draw)
    strict, loose = (judged(losses, margin_of, alpha=alpha) for alpha in sorted((one, two)))
    for careful, bold in zip(strict.state, loose.state, strict=True):
        assert careful in ("undecided", bold)


@given(means, numbers, st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_whole_weights_are_repeated_tokens_in_the_mean(levels: list[float], draw: int, times: int) -> None:
    losses = study(levels, draw)
    weights = np.ones(EXAMPLES)
    weights[0] = times
    repeated = np.concatenate([losses, *[losses[:, :, :1]] * (times - 1)], axis=2)
    assert judged(losses, "metric", weights=weights).mean == pytest.approx(tuple(repeated.mean(axis=(1, 2))))


@given(means, kinds, numbers)
@settings(max_examples=60, deadline=None)
def test_the_best_rank_by_the_means_is_never_inferior(levels: list[float], margin_of: str, draw: int) -> None:
    verdict = judged(study(levels, draw, seeds=2), margin_of, alpha=0.5)
    best = verdict.mean.index(min(verdict.mean))
    assert verdict.state[best] != "inferior"
    assert verdict.bracket[0] <= verdict.bracket[1]
