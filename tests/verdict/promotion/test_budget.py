from __future__ import annotations

import itertools
import math

import pytest

from sweep.verdict.promotion import level_of

ALPHA = 0.05


def test_the_levels_of_all_tests_that_are_possible_add_up_to_at_most_alpha() -> None:
    spent = math.fsum(
        math.comb(test - 1, promotions) * level_of(ALPHA, test, promotions)
        for test in range(1, 100)
        for promotions in range(test)
    )
    assert 0.98 * ALPHA < spent <= ALPHA


def test_along_any_path_each_test_has_a_share_of_its_own() -> None:
    """Six tests: every way in which they may promote is a path, and each test on a path is shared by the paths that began alike."""
    nodes = {path[:taken] for path in itertools.product((False, True), repeat=5) for taken in range(6)}
    assert len(nodes) == 2**6 - 1
    spent = math.fsum(level_of(ALPHA, len(before) + 1, sum(before)) for before in nodes)
    assert spent == pytest.approx(ALPHA * (1 - 1 / 7))


def test_a_promotion_returns_no_level() -> None:
    for test in range(2, 30):
        levels = [level_of(ALPHA, test, promotions) for promotions in range(test)]
        assert levels[0] == max(levels)
        assert level_of(ALPHA, test, 0) < level_of(ALPHA, test - 1, 0)


def test_a_very_long_history_has_a_level() -> None:
    assert 0 < level_of(ALPHA, 5000, 2500) < 1e-300


@pytest.mark.parametrize(("test", "promotions"), [(0, 0), (1, 1), (3, 3), (2, -1)])
def test_impossible_histories_are_refused(test: int, promotions: int) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        level_of(ALPHA, test, promotions)
