"""How often the shipped statistics are wrong, on a small scale; benchmarks/verdict_calibration is the large one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from sweep.verdict.bounds import Mask, least_gains, moments
from sweep.verdict.looks import steps
from sweep.verdict.margin import Margin
from sweep.verdict.record import MarginOf
from sweep.verdict.spending import levels
from tests.verdict.studies import Array

STUDIES = 2000
ALPHA = 0.05
BEST, BASE, SHARE = 0.2, 4.7, 0.1
MARGIN = SHARE * (BASE - BEST)


def drawn(truth: tuple[float, ...], noise: tuple[float, ...], seeds: int, draw: int) -> tuple[Array, Array]:
    """Studies whose ranks are `truth` margins above the best, and the base."""
    random = np.random.default_rng(draw)
    expected = BEST + MARGIN * np.array(truth)
    seed = 0.025 * np.array(noise)[:, None] * random.standard_normal((STUDIES, len(truth), seeds))
    shared = 0.3 * random.standard_normal((STUDIES, 1, 1, 32))
    own = 0.05 * random.standard_normal((STUDIES, len(truth), 1, 32))
    both = 0.03 * random.standard_normal((STUDIES, len(truth), seeds, 32))
    losses = (expected[:, None] + seed)[..., None] + shared + own + both
    return losses, BASE + shared[:, 0, 0] + 0.3 * random.standard_normal((STUDIES, 32))


def outcome(
    losses: Array, base: Array, looks: tuple[int, ...], at: tuple[float, ...], *, by_quality: bool = True
) -> tuple[Mask, Mask]:
    *_, last = steps(losses, base, np.ones(32), Margin(SHARE, MarginOf.GAIN), looks, at, by_quality=by_quality)
    return last.look.certified, last.look.inferior


@pytest.mark.parametrize("noise", [(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
@pytest.mark.parametrize("looks", [(2,), (3,), (5,), (3, 5, 8)])
def test_a_rank_at_the_margin_is_seldom_certified(noise: tuple[float, ...], looks: tuple[int, ...]) -> None:
    losses, base = drawn((1.0, 0.3, 0.0), noise, looks[-1], draw=int(10 * sum(noise)) + sum(looks))
    at = (ALPHA,) if len(looks) == 1 else levels(ALPHA, looks)
    certified, _ = outcome(losses, base, looks, at)
    allowed = ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES)
    assert certified[:, 0].mean() <= allowed
    # the same data at four times the level: the check above can fail
    bold, _ = outcome(losses, base, looks, tuple(4 * level for level in at))
    assert bold[:, 0].mean() > allowed


@pytest.mark.parametrize("truth", [(0.2, 1.0, 0.0, 1.0, 0.3), (0.0, 1.0, 1.0, 1.0), (1.0, 0.0, 1.0, 0.0)])
@pytest.mark.parametrize("noisy", [0, 1, None])
def test_a_method_at_the_margin_is_seldom_certified_wherever_it_stands(
    truth: tuple[float, ...], noisy: int | None
) -> None:
    noise = tuple(4.0 if place == noisy else 1.0 for place in range(len(truth)))
    losses, base = drawn(truth, noise, 5, draw=7)
    certified, inferior = outcome(losses, base, (5,), (ALPHA,), by_quality=False)
    good = np.array(truth) < 1
    allowed = ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES)
    assert (certified & ~good).any(axis=1).mean() <= allowed
    assert (inferior & good).any(axis=1).mean() <= allowed


def test_a_bad_method_does_not_stand_in_the_way_of_a_cheaper_one() -> None:
    losses, base = drawn((0.0, 3.0, 0.0, 3.0), (1.0,) * 4, 5, draw=3)
    certified, _ = outcome(losses, base, (5,), (ALPHA,), by_quality=False)
    assert certified[:, 0].mean() > 0.95
    stopped, _ = outcome(losses, base, (5,), (ALPHA,))
    assert stopped[:, 0].mean() == 0


def test_overfitting_tops_and_good_ranks() -> None:
    losses, base = drawn((1.0, 0.0, 0.3, 3.0), (1.0,) * 4, 5, draw=1)
    certified, inferior = outcome(losses, base, (5,), (ALPHA,))
    assert certified[:, 1].mean() > 0.95
    assert inferior[:, 3].mean() > 0.95
    assert certified[:, 0].mean() <= 0.063


def test_a_rank_just_within_the_margin_is_seldom_called_inferior() -> None:
    losses, base = drawn((0.9999, 0.0, 0.0), (1.0,) * 3, 3, draw=2)
    _, inferior = outcome(losses, base, (3,), (ALPHA,))
    assert inferior[:, 0].mean() <= 0.063


def test_noise_of_seed_times_example_counts_once() -> None:
    random = np.random.default_rng(3)
    seeds, examples = 4, 24
    losses = random.standard_normal((STUDIES, 2, seeds, examples))
    of = moments(losses, np.zeros(examples), random.uniform(0.5, 2, examples))
    from_seeds = of.seed_covariance[:, 0, 0] / seeds
    assert from_seeds.mean() == pytest.approx(of.mean[:, 0].var(), rel=0.1)
    assert of.example_covariance[:, 0, 0].mean() == pytest.approx(0, abs=0.03 * of.mean[:, 0].var())


def test_variance_of_a_mean_is_estimated_without_bias() -> None:
    random = np.random.default_rng(4)
    seeds, examples = 3, 16
    weights = random.uniform(0.5, 2, examples)
    losses = (
        random.standard_normal((STUDIES, 2, seeds, 1))
        + 2 * random.standard_normal((STUDIES, 2, 1, examples))
        + 3 * random.standard_normal((STUDIES, 2, seeds, examples))
    )
    of = moments(losses, np.zeros(examples), weights)
    estimated = of.seed_covariance[:, 0, 0].mean() / seeds + of.example_covariance[:, 0, 0].mean()
    assert estimated == pytest.approx(of.mean[:, 0].var(), rel=0.12)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["losses", "answers"])
def test_an_adapter_that_gains_nothing_is_seldom_shown_to_gain(kind: str, seeds: int) -> None:
    """Of one seed, that one adapter: its seed is no noise then."""
    random, examples = np.random.default_rng(seeds), 60
    shared = random.standard_normal((STUDIES, 1, examples))
    shift = 0.05 * random.standard_normal((STUDIES, seeds, 1)) * (seeds > 1)
    own = random.standard_normal((STUDIES, seeds, examples))
    table = shift + 0.3 * shared + 0.1 * own
    base = 0.3 * shared[:, 0] + 0.1 * random.standard_normal((STUDIES, examples))
    if kind == "answers":
        table = (ndtr((shared + own) / np.sqrt(2)) < 0.5 + shift).astype(np.float64)
        base = (shared[:, 0] + random.standard_normal((STUDIES, examples)) < 0).astype(np.float64)
    allowed = ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES)
    assert (least_gains(table, base, np.ones(examples), ALPHA) > 0).mean() <= allowed
    assert (least_gains(table, base, np.ones(examples), 4 * ALPHA) > 0).mean() > allowed  # the check above can fail
