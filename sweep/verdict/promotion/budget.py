"""The level of each promotion test: over any number of nights the chance of even one wrong promotion is at most alpha.

The same certify examples are used night after night, and which adapter is tested against which depends on what earlier tests on them
decided. So the tests are neither independent nor fixed beforehand. But all that earlier tests hand on is who was promoted. Given
everything except the certify examples (data, seeds, recipes, choices on tune), the n-th test after p promotions is one of C(n - 1, p)
tests that were possible from the start, one for each way in which p of the n - 1 earlier tests may have promoted. Each of them gets

    alpha / (n^2 (p + 1) (p + 2) C(n - 1, p))

and all that are possible add up to alpha (Bonferroni), whatever their statistics have in common: those of the n-th test to
alpha / (n (n + 1)). This is the argument by which a
leaderboard withstands being asked again and again (Blum and Hardt 2015), with the error spent unevenly (Lan and DeMets 1983).

A promotion therefore makes later levels smaller; it returns nothing. A test that is not made costs nothing, because whether one is made is
decided on tune. What people decide after they have read losses on certify is outside this promise.
"""

from __future__ import annotations

import math
import sys


def level_of(alpha: float, test: int, promotions: int) -> float:
    """The level of the next test of a study.

    Args:
        alpha: the chance of any wrong promotion, over all tests of the study.
        test: its number, from 1: the tests made before it and itself.
        promotions: how many of the earlier tests promoted their challenger; rollbacks count as promotions.

    Raises:
        ValueError: the numbers cannot be, for example more promotions than earlier tests.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: must lie between 0 and 1, not {alpha}")
    if test < 1 or not 0 <= promotions < test:
        raise ValueError(f"test {test} cannot have {promotions} promotions before it")
    # by integers: the number of paths may be far beyond the largest float
    divisor = test**2 * (promotions + 1) * (promotions + 2) * math.comb(test - 1, promotions)
    return max(math.exp(math.log(alpha) - math.log(divisor)), sys.float_info.min)
