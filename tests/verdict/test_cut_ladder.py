"""The verdict on ranks that were cut from adapters of the largest: reference, order of tests, who needs more seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.verdict import State, Verdict, active_ranks, judge, judge_looks
from tests.verdict.studies import base_of

LADDER = (1, 2, 4, 8)
BASE = 4.7
MARGIN = 0.02  # of a gain of about 4.5: 0.09 nats


def ladder(
    *cuts: float, uncut: float = 0.2, seeds: int = 3, top_sd: float = 0.1, spread: float = 0.2, draw: int = 0
) -> NDArray[np.float64]:
    """(ranks, seeds, examples): uncut adapters, and cuts that lose about this much against them."""
    random = np.random.default_rng(draw)
    top = uncut + top_sd * random.standard_normal((seeds, 1)) + 0.3 * random.standard_normal(40)
    loses = [cut * np.exp(spread * random.standard_normal((seeds, 1))) for cut in cuts]
    return np.stack([*(top + loss + 0.01 * random.standard_normal((seeds, 40)) for loss in loses), top])


def judged(losses: NDArray[np.float64], **changes: object) -> Verdict:
    arguments = {"margin": MARGIN, "base": base_of(), "ladder_by": "cut", **changes}
    return judge(losses, LADDER[-len(losses) :], **arguments)  # type: ignore[arg-type]


def test_cuts_are_compared_with_the_uncut_adapter_of_the_same_seed() -> None:
    verdict = judged(ladder(0.4, 0.03, 0.002))
    assert verdict.ladder_by == "cut"
    assert verdict.state == ("inferior", "certified", "certified", "certified")
    assert (verdict.rank, verdict.bracket, verdict.hands_out, verdict.better) == (2, (2, 2), 2, ())
    assert verdict.diff_to_best[-1] == 0
    assert verdict.diff_to_best[1] == pytest.approx(0.03, rel=0.5)
    for one in verdict.ladder:
        assert (one.state is State.CERTIFIED) == (one.upper_bound < verdict.margin_in_loss)
        assert (one.state is State.INFERIOR) == (one.lower_bound > verdict.margin_in_loss)


def test_the_noise_of_the_uncut_adapter_is_not_in_the_comparison() -> None:
    assert judged(ladder(0.4, 0.03, 0.002, top_sd=0.5)).bracket == (2, 2)


def test_the_first_cut_that_fails_ends_the_sequence() -> None:
    losses = ladder(0.03, 0.03, 0.03)
    losses[2] += np.array([0.3, -0.3, 0.0])[:, None]
    verdict = judged(losses)
    assert verdict.state == ("undecided", "undecided", "undecided", "certified")
    assert (verdict.rank, verdict.bracket) == (8, (1, 8))
    assert active_ranks(verdict) == LADDER
    assert any("Smaller ranks (1, 2) can be certified only after rank 4." in reason for reason in verdict.reasons)


def test_where_no_cut_keeps_enough_the_uncut_adapter_is_the_answer() -> None:
    verdict = judged(ladder(0.9, 0.6, 0.4))
    assert verdict.state == ("inferior", "inferior", "inferior", "certified")
    assert (verdict.rank, verdict.closed, active_ranks(verdict)) == (8, True, ())


def test_without_a_gain_nothing_is_certified() -> None:
    verdict = judged(ladder(0.002, 0.001, 0.001, uncut=BASE - 0.2, top_sd=0.5), margin=0.5)
    assert verdict.status == "undecided"
    assert (verdict.rank, verdict.hands_out) == (None, None)
    assert "not shown to gain anything over the unadapted base" in " ".join(verdict.reasons)
    assert judged(ladder(0.002, 0.001, 0.001, uncut=BASE - 0.2, top_sd=0.5), margin=0.5, margin_of="loss").rank == 1


def test_a_cut_that_is_better_is_named_and_handed_out() -> None:
    verdict = judged(ladder(0.02, -0.15, -0.1, spread=0.05))
    assert verdict.rank == 1
    assert verdict.better == (2, 4)
    assert verdict.hands_out == 2
    assert verdict.diff_to_best[1] < 0
    near = judged(ladder(-0.1, -0.15, -0.1, spread=0.05))
    assert (near.rank, near.better, near.hands_out) == (1, (1, 2, 4), 1)


def looked(losses: list[NDArray[np.float64]], looks: tuple[int, ...], **changes: object) -> Verdict:
    arguments = {"margin": MARGIN, "base": base_of(), "ladder_by": "cut", **changes}
    return judge_looks(losses, LADDER, looks, **arguments)  # type: ignore[arg-type]


def test_a_further_seed_is_cut_to_the_open_ranks_alone() -> None:
    losses = ladder(0.5, 0.09, 0.002, seeds=6)
    first = looked(list(losses[:, :3]), (3,))
    assert first.state == ("inferior", "undecided", "certified", "certified")
    assert active_ranks(first) == (2, 8)
    # ranks 1 and 4 keep their three seeds
    more = [losses[0, :3], losses[1], losses[2, :3], losses[3]]
    later = looked(more, (3, 6))
    assert later.seeds == (3, 6, 3, 6)
    assert later.level < 0.05
    assert (later.state[0], later.state[2:]) == ("inferior", ("certified", "certified"))
    assert later.diff_to_best[2] == pytest.approx(first.diff_to_best[2])
    without = looked([losses[0, :3], losses[1, :4], losses[2, :3], losses[3]], (3, 6))
    assert "The look at 6 seeds was not taken: too few seeds at rank 2." in without.reasons


def test_what_cannot_be_decided_within_its_seeds_is_futile() -> None:
    losses = ladder(0.5, 0.09, 0.002)
    losses[1] = losses[3] + np.array([[0.04], [0.09], [0.15]])
    verdict = looked(list(losses), (3,), most_seeds=5)
    assert verdict.futile == "The 2 seeds that certify.seeds allows would probably not decide rank 2: not trained."
    assert verdict.futile in verdict.reasons
    assert looked(list(losses), (3,)).futile is None
    assert looked(list(losses), (3,), most_seeds=3).futile is None  # the limit is reached
    # a rank that a few seeds may well decide gets them
    losses[1] = losses[3] + np.array([[0.03], [0.04], [0.06]])
    clear = looked(list(losses), (3,), most_seeds=8)
    assert clear.state[1] == "undecided"
    assert clear.futile is None


def test_another_way_to_make_a_ladder_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="ladder_by: must be one of train, cut, not 'prune'"):
        judged(ladder(0.1, 0.1, 0.1), ladder_by="prune")


def test_the_order_of_seeds_and_examples_does_not_matter() -> None:
    losses, base = ladder(0.2, 0.05, 0.01, spread=0.5), base_of()
    seeds, examples = np.array([2, 0, 1]), np.random.default_rng(0).permutation(40)
    mixed = judged(losses[:, seeds][:, :, examples], base=base[examples])
    assert mixed.upper_bound == pytest.approx(judged(losses).upper_bound)
    assert mixed.lower_bound == pytest.approx(judged(losses).lower_bound)


def test_a_cut_with_the_noise_of_a_few_lucky_seeds_is_not_certified_on_a_hair() -> None:
    # Student's bound alone would be below the margin: three seeds that agree by chance, beside cuts that do not
    losses = ladder(0.06, 0.03, 0.01)
    losses[0] = losses[3] + np.array([[0.0700], [0.0701], [0.0702]])
    assert judged(losses).state[0] is State.UNDECIDED


def test_seeds_and_examples_that_would_settle_a_cut() -> None:
    losses = ladder(0.5, 0.05, 0.002, spread=0.6, draw=2)
    verdict = looked(list(losses), (3,), cost=lambda need: need.seeds, available=400)
    assert verdict.state[1] is State.UNDECIDED
    assert verdict.needed is not None
    assert verdict.needed.seeds > 3


@pytest.mark.parametrize("margin_of", ["loss", "metric"])
def test_other_margins_need_no_gain(margin_of: str) -> None:
    verdict = judged(
        ladder(0.4, 0.03, 0.002, top_sd=0.02),
        margin=0.5 if margin_of == "loss" else 0.1,
        margin_of=margin_of,
        base=None,
    )
    assert verdict.state == ("inferior", "certified", "certified", "certified")
