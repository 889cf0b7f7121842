"""The test of a limit of forgetting: its bounds, how often it is wrong, and its looks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

from sweep.verdict.bounds import Side
from sweep.verdict.forgetting import judge_forgetting, rises_of
from sweep.verdict.record import Limited
from sweep.verdict.spending import levels
from tests.verdict.studies import Array

LIMIT, ALPHA = 0.2, 0.05
EQUAL = np.full(8, 100.0)


def drawn(
    truth: float, seeds: int, paragraphs: int, draw: int, seed_sd: float = 0.02, paragraph_sd: float = 0.05
) -> Array:
    """(seeds, paragraphs): rises of one rank."""
    random = np.random.default_rng(draw)
    rises: Array = (
        truth
        + seed_sd * random.standard_normal((seeds, 1))
        + paragraph_sd * random.standard_normal(paragraphs)
        + paragraph_sd / 3 * random.standard_normal((seeds, paragraphs))
    )
    return rises


def test_bounds_by_hand() -> None:
    by_seed, by_paragraph = np.array([-0.02, 0.0, 0.02]), np.array([-0.1, -0.1, 0.1, 0.1])
    estimate = rises_of((0.3 + by_seed[:, None] + by_paragraph)[None], np.full(4, 10.0))
    width = np.hypot(
        stdtrit(2, 0.95) * 0.02 / np.sqrt(3), stdtrit(3, 0.95) * by_paragraph.std(ddof=1) / 2
    )  # no skewness, no interaction
    assert estimate.bound(Side.UPPER, 0.05)[0] == pytest.approx(0.3 + width)
    assert estimate.bound(Side.LOWER, 0.05)[0] == pytest.approx(0.3 - width)


def test_long_paragraphs_count_more() -> None:
    estimate = rises_of(np.array([[[0.1, 0.4], [0.1, 0.4]]]), np.array([200.0, 100.0]))
    assert float(estimate.value[0]) == pytest.approx(0.2)


@pytest.mark.parametrize(("looks", "paragraphs"), [((3,), 8), ((3, 5, 8), 8), ((3, 5), 32)])
def test_a_rank_at_the_limit_is_seldom_shown_to_be_on_either_side(looks: tuple[int, ...], paragraphs: int) -> None:
    studies, tokens = 400, np.full(paragraphs, 100.0)
    states = [
        judge_forgetting([drawn(LIMIT, looks[-1], paragraphs, draw)], tokens, looks, limit=LIMIT, alpha=ALPHA)
        for draw in range(studies)
    ]
    allowed = ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / studies)
    for state in (Limited.BELOW, Limited.ABOVE):
        assert sum(test.ranks[0].shown.state is state for test in states) <= allowed * studies
    # the check can fail: at four times the level
    bold = [
        judge_forgetting([drawn(LIMIT, looks[-1], paragraphs, draw)], tokens, looks, limit=LIMIT, alpha=6 * ALPHA)
        for draw in range(studies)
    ]
    assert sum(test.ranks[0].shown.state is Limited.BELOW for test in bold) > allowed * studies


def test_what_is_clearly_below_or_above_is_shown() -> None:
    tables = [drawn(truth, 3, 8, draw=1) for truth in (0.0, 0.5)]
    test = judge_forgetting(tables, EQUAL, (3,), limit=LIMIT, alpha=ALPHA)
    assert [each.shown.state for each in test.ranks] == [Limited.BELOW, Limited.ABOVE]
    below, above = (each.shown for each in test.ranks)
    assert below.upper < LIMIT < above.lower
    assert (below.seeds, above.seeds) == (3, 3)


def test_what_was_shown_at_a_look_stays_so() -> None:
    early = drawn(0.05, 3, 8, draw=2, seed_sd=0.001, paragraph_sd=0.01)
    table = np.concatenate([early, drawn(0.9, 2, 8, draw=3)])
    test = judge_forgetting([table], EQUAL, (3, 5), limit=LIMIT, alpha=ALPHA)
    assert (test.ranks[0].shown.state, test.ranks[0].shown.seeds) == (Limited.BELOW, 3)


def test_a_look_without_its_seeds_is_not_taken() -> None:
    test = judge_forgetting([drawn(0.19, 4, 8, draw=4)], EQUAL, (3, 5), limit=LIMIT, alpha=ALPHA)
    assert (test.ranks[0].shown.state, test.ranks[0].shown.seeds) == (Limited.OPEN, 3)
    assert (
        judge_forgetting([drawn(0.19, 2, 8, draw=4)], EQUAL, (3,), limit=LIMIT, alpha=ALPHA).ranks[0].estimate is None
    )


def test_the_sequence_goes_up_and_passes_over_what_is_excluded() -> None:
    truths = {"below": 0.0, "above": 0.6, "open": 0.2}

    def passes(*states: str, inferior: tuple[int, ...] = ()) -> tuple[bool, ...]:
        tables = [drawn(truths[state], 3, 8, draw=5) for state in states]
        test = judge_forgetting(tables, EQUAL, (3,), limit=LIMIT, alpha=ALPHA)
        assert [each.shown.state.value for each in test.ranks] == list(states)
        return test.passes([place in inferior for place in range(len(states))])

    assert passes("below", "below", "above") == (True, True, False)
    assert passes("below", "open", "below") == (True, False, False)
    assert passes("above", "below", "open") == (False, True, False)
    assert passes("open", "below", inferior=(0,)) == (False, True)


def test_no_rank_of_a_ladder_at_the_limit_is_certified_too_often() -> None:
    studies, wrong = 400, 0
    for draw in range(studies):
        random = np.random.default_rng(draw)
        shared = drawn(0.0, 3, 8, draw)
        tables = [LIMIT + each * shared + 0.004 * random.standard_normal((3, 1)) for each in (0.6, 0.8, 1.0)]
        test = judge_forgetting(tables, EQUAL, (3,), limit=LIMIT, alpha=ALPHA)
        wrong += any(test.passes(random.random(3) < 0.3))
    assert wrong <= (ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / studies)) * studies


def test_seeds_that_would_decide_it() -> None:
    near = 0.17 + np.array([[0.03], [-0.03], [0.0]]) + 0.01 * np.linspace(-1, 1, 8)
    test = judge_forgetting([near], EQUAL, (3,), limit=LIMIT, alpha=ALPHA)
    needed = test.seeds_needed(0)
    assert needed is not None
    assert 4 <= needed < 20
    assert test.may_decide(0, needed)
    assert not test.may_decide(0, 3)
    level = levels(ALPHA, (3, needed))[-1]
    estimate = test.ranks[0].estimate
    assert estimate is not None
    assert estimate.bound(Side.UPPER, level, needed)[0] < LIMIT


def test_no_number_of_seeds_makes_up_for_few_paragraphs() -> None:
    wide = 0.17 + np.array([[0.001], [-0.001], [0.0]]) + 0.2 * np.linspace(-1, 1, 4)
    test = judge_forgetting([wide], np.full(4, 100.0), (3,), limit=LIMIT, alpha=ALPHA)
    assert test.seeds_needed(0) is None
    assert not test.may_decide(0, 40)
