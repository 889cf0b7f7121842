"""The verdict on one set of trials: cases that can be computed by hand, honest answers to little data, errors in words."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.verdict import State, active_ranks, judge, judge_looks
from sweep.verdict.record import Need
from tests.verdict.studies import base_of, losses_of

LADDER = (2, 8, 32)


def constant(*per_seed: tuple[float, ...], examples: int = 4) -> NDArray[np.float64]:
    """Losses that are the same for all examples."""
    return np.repeat(np.array(per_seed)[:, :, None], examples, axis=2)


def test_bounds_by_hand() -> None:
    # differences 0.1 and 0.3 below the margin point 0.5: contrast -0.5 and -0.3 (mean -0.4), variance 0.02, 1 degree
    verdict = judge(constant((1.1, 1.3), (1.0, 1.0)), (2, 4), margin=0.5, margin_of="metric")
    quantile = math.tan(math.pi * 0.46)  # Student, 1 degree of freedom, at 0.8 of 5 %
    assert verdict.mean == pytest.approx((1.2, 1.0))
    assert verdict.diff_to_best == pytest.approx((0.2, 0.0))
    assert verdict.upper_bound[0] == pytest.approx(0.2 + 0.1 * quantile)
    assert verdict.lower_bound[0] == pytest.approx(0.2 - 0.1 * quantile)
    assert verdict.margin_in_loss == 0.5


def test_paired_seeds_are_used_if_they_help() -> None:
    # both ranks move by the same with the seed: only the paired variance, which is zero, is of use
    verdict = judge(constant((1.0, 2.0, 3.0), (1.1, 2.1, 3.1)), (2, 4), margin=0.2, margin_of="metric")
    assert verdict.state == ("certified", "certified")
    assert verdict.upper_bound == pytest.approx((0.0, 0.1))


@pytest.mark.parametrize(
    ("margin_of", "margin", "in_loss"), [("gain", 0.01, 0.01 * 4.0), ("loss", 0.1, 0.05), ("metric", 0.03, 0.03)]
)
def test_margin_in_the_unit_of_the_losses(margin_of: str, margin: float, in_loss: float) -> None:
    losses = constant((0.6, 0.6), (0.5, 0.5))
    verdict = judge(losses, (2, 4), margin=margin, margin_of=margin_of, base=np.full(4, 4.5))
    assert verdict.margin_in_loss == pytest.approx(in_loss)
    assert verdict.state == ("inferior", "certified")
    assert (verdict.rank, verdict.bracket, verdict.reasons) == (4, (4, 4), ())


def test_smallest_of_equal_ranks_is_certified() -> None:
    verdict = judge(losses_of((0.5, 0.2, 0.2, 0.2)), (2, 4, 8, 16), margin=0.05, base=base_of())
    assert verdict.state == ("inferior", "certified", "certified", "certified")
    assert (verdict.status, verdict.rank, verdict.bracket) == ("certified", 4, (4, 4))
    assert verdict.seeds_needed is None
    assert active_ranks(verdict) == ()
    assert [one.rank for one in verdict.ladder] == [2, 4, 8, 16]
    assert verdict.ladder[0].state is State.INFERIOR


def test_overfitting_ranks_at_the_top_are_passed_over() -> None:
    verdict = judge(losses_of((0.6, 0.2, 0.2, 0.9, 1.2)), (2, 4, 8, 16, 32), margin=0.05, base=base_of())
    assert verdict.state == ("inferior", "certified", "certified", "inferior", "inferior")
    assert verdict.bracket == (4, 4)


def test_an_undecided_rank_at_the_top_stops_the_sequence() -> None:
    losses = losses_of((0.2, 0.2, 0.2))
    losses[2] += np.array([-0.4, 0.4, -0.3, 0.3, 0.0])[:, None]
    verdict = judge(losses, LADDER, margin=0.05, base=base_of())
    assert verdict.state == ("undecided", "undecided", "undecided")
    assert (verdict.status, verdict.rank, verdict.bracket) == ("undecided", None, (2, 32))
    assert verdict.upper_bound[0] >= verdict.margin_in_loss  # though alone it would pass
    assert verdict.reasons[0].startswith("Rank 32 may be up to 0.367 worse than another rank (upper bound)")
    assert "Smaller ranks (2, 8) can be certified only after rank 32." in verdict.reasons
    assert verdict.seeds_needed is not None
    assert verdict.seeds_needed > 5
    assert active_ranks(verdict) == LADDER


def test_states_and_bounds_agree() -> None:
    for draw in range(40):
        verdict = judge(losses_of((0.5, 0.3, 0.22, 0.2), seeds=3, draw=draw), (1, 2, 4, 8), margin=0.03, base=base_of())
        for one in verdict.ladder:
            assert (one.state == "certified") == (one.upper_bound < verdict.margin_in_loss)
            assert (one.state == "inferior") == (one.lower_bound > verdict.margin_in_loss)
            assert one.lower_bound <= one.diff_to_best + 1e-12
            assert one.diff_to_best <= one.upper_bound + 1e-12 or one.state != "certified"


@pytest.mark.parametrize("margin_of", ["gain", "loss", "metric"])
def test_identical_losses_are_certified_at_the_smallest_rank(margin_of: str) -> None:
    verdict = judge(np.full((3, 2, 5), 0.3), LADDER, margin=0.01, margin_of=margin_of, base=np.full(5, 3.0))
    assert (verdict.rank, verdict.bracket) == (2, (2, 2))


def test_a_margin_of_zero_is_not_kept_by_equals() -> None:
    verdict = judge(np.full((3, 2, 5), 0.3), LADDER, margin=0, base=np.full(5, 3.0))
    assert verdict.status == "undecided"
    assert "margin of zero" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((3, 1, 5), "fewer than two seeds"),
        ((3, 4, 1), "only one example"),
        ((1, 4, 5), "Rank 2 is the only one"),
    ],
)
def test_too_little_data_is_undecided(shape: tuple[int, int, int], reason: str) -> None:
    verdict = judge(np.full(shape, 0.3), LADDER[: shape[0]], margin=0.01, base=np.full(shape[2], 3.0))
    assert (verdict.status, verdict.rank, verdict.seeds_needed) == ("undecided", None, None)
    assert set(verdict.upper_bound) == {math.inf}
    assert set(verdict.lower_bound) == {-math.inf}
    assert reason in verdict.reasons[0]


def test_no_gain_over_the_base_certifies_nothing() -> None:
    verdict = judge(losses_of((0.3, 0.3)), (2, 4), margin=0.5, base=np.full(40, 0.2))
    assert verdict.status == "undecided"
    assert "The unadapted base is as good as the best rank" in verdict.reasons[0]


def test_reasons_name_the_noise_of_examples() -> None:
    # examples pull both ways, seeds hardly matter
    losses = constant((1.0, 1.01), (1.0, 1.01))
    losses[0] += np.array([-0.3, 0.3, -0.3, 0.3])
    verdict = judge(losses, (2, 4), margin=0.1, margin_of="metric")
    assert (verdict.seeds_needed, verdict.needed) == (None, None)
    assert any("with 4 examples alone the error is" in reason for reason in verdict.reasons)
    verdict = judge_looks(losses, (2, 4), (2,), margin=0.1, margin_of="metric", cost=lambda need: need.seeds)
    assert verdict.examples_needed is not None
    assert verdict.needed == Need(2, verdict.examples_needed)
    assert (
        f"{verdict.examples_needed} certify examples instead of 4 would probably decide it, if the data has that many."
        in verdict.reasons
    )


def test_reasons_name_a_difference_at_the_margin() -> None:
    losses = constant((1.19, 1.21), (1.01, 0.99))
    verdict = judge(losses, (2, 4), margin=0.2, margin_of="metric")
    assert verdict.seeds_needed is None
    assert (verdict.examples_needed, verdict.needed) == (None, None)
    assert any("Too close to the margin to call" in reason for reason in verdict.reasons)


def test_seeds_needed_is_about_what_it_takes() -> None:
    enough = []
    for draw in range(60):
        losses = losses_of((0.5, 0.2, 0.2), seeds=30, seed_sd=0.05, example_sd=0.02, draw=draw)
        verdict = judge(losses[:, :4], LADDER, margin=0.02, base=base_of())
        if verdict.seeds_needed is not None and verdict.seeds_needed <= 30:
            later = judge(losses[:, : verdict.seeds_needed], LADDER, margin=0.02, base=base_of())
            enough.append(later.bracket == (8, 8))
    assert len(enough) > 20
    assert np.mean(enough) > 0.5


def good_arguments() -> dict[str, Any]:
    return {"losses": np.ones((3, 2, 5)), "ranks": LADDER, "margin": 0.01, "base": np.full(5, 2.0)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"losses": np.ones((3, 5))}, "losses: expected shape (ranks, seeds, examples), none of them 0"),
        ({"losses": []}, "losses: empty"),
        ({"losses": [[[1.0, 2.0], [1.0]], [[1.0], [1.0]]]}, "ragged"),
        ({"losses": [np.ones((2, 5)), np.ones((2, 4)), np.ones((2, 5))]}, "different numbers of examples: 4, 5"),
        (
            {"losses": [np.ones((2, 5)), np.ones((3, 5)), np.ones((2, 5))]},
            "the same number of seeds, but they have 2, 3, 2",
        ),
        ({"losses": np.full((3, 2, 5), np.nan)}, "losses: 30 are NaN or infinite"),
        ({"ranks": (2, 8)}, "ranks: 2 given, but losses hold 3"),
        ({"ranks": (2, 8, 8)}, "ranks: must be ascending, each once"),
        ({"ranks": (2, 8, 16.5)}, "ranks: must be whole numbers above 0"),
        ({"margin": -0.1}, "margin: must be a finite number of at least 0"),
        ({"margin": math.inf}, "margin: must be a finite number"),
        ({"margin": 1.0}, "a share of the gain must be below 1"),
        ({"margin_of": "lose"}, "margin_of: must be one of gain, loss, metric, not 'lose'"),
        ({"alpha": 0.0}, "alpha: must be above 0 and at most 0.5"),
        ({"alpha": 0.6}, "alpha: must be above 0 and at most 0.5"),
        ({"base": None}, "base: margin_of='gain' needs the unadapted base's loss of each example"),
        ({"base": np.ones(4)}, "base: shape (4,), expected (5,)"),
        ({"base": np.full(5, np.inf)}, "base: 5 are NaN or infinite"),
        ({"weights": np.ones((5, 1))}, "weights: shape (5, 1), expected (5,)"),
        ({"weights": np.zeros(5)}, "weights: must all be above 0"),
        ({"weights": ["many"] * 5}, "weights: must be numbers"),
    ],
)
def test_mistakes_are_named(changed: dict[str, Any], message: str) -> None:
    arguments = {**good_arguments(), **changed}
    with pytest.raises(ValueError, match=re.escape(message)):
        judge(arguments.pop("losses"), arguments.pop("ranks"), **arguments)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="losses") as caught:
        judge(np.full((2, 3, 4), np.inf), [4, 2], margin=-1, alpha=2)
    names = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert names == ["losses", "ranks", "margin", "alpha", "base"]


def test_the_room_needs_numpy_and_scipy_only() -> None:
    """Compared with numpy and scipy alone, which try a few packages of their own."""
    found = "{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names"
    code = f"import sys, numpy, scipy.special; before = {found}; import sweep.verdict; print(*({found} - before))"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(words) <= {"sweep", "tasks"}  # our own packages
