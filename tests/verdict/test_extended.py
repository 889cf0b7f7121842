"""Certify examples that are added after a look: the look is taken again, and all looks together spend no more than alpha."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.verdict import judge_looks, levels, spent
from sweep.verdict.conclude import conclude
from sweep.verdict.record import Need
from sweep.verdict.spending import left
from tests.conftest import certified_record
from tests.verdict.studies import base_of, losses_of

RANKS = (2, 4, 8)


@given(alpha=st.floats(0.001, 0.5), seeds=st.lists(st.integers(2, 40), min_size=1, max_size=5))
def test_adding_examples_never_spends_more_than_alpha(alpha: float, seeds: list[int]) -> None:
    total, rest = 0.0, alpha
    for count in sorted(seeds):
        total += spent(rest, count)
        rest = left(rest, count)
    assert total + rest == pytest.approx(alpha)
    assert rest > 0


def test_what_was_shown_with_fewer_examples_stays_so() -> None:
    losses = losses_of((0.9, 0.2, 0.2), seeds=4, examples=80, seed_sd=0.02, example_sd=0.3)
    early = judge_looks(losses[:, :, :40], RANKS, (3, 4), margin=0.02, base=base_of(80)[:40])
    assert early.state[0] == "inferior"
    assert not early.closed
    # the rank that is out was given no fourth seed
    tables = [losses[0][:3], losses[1], losses[2]]
    later = judge_looks(tables, RANKS, (3, 4), margin=0.02, base=base_of(80), extended=((4, 40),))
    assert later.state[0] == "inferior"
    assert later.examples == 80
    assert (later.seeds[0], later.seeds[1]) == (3, 4)
    assert later.level == levels(left(0.05, 4), (4,))[0]


def test_more_examples_can_decide_what_fewer_left_open() -> None:
    losses = losses_of((0.5, 0.2, 0.2), seeds=4, examples=800, seed_sd=0.002, example_sd=0.35, draw=0)
    base = base_of(800)
    early = judge_looks(losses[:, :, :40], RANKS, (4,), margin=0.02, base=base[:40])
    later = judge_looks(losses, RANKS, (4,), margin=0.02, base=base, extended=((4, 40),))
    assert (early.status, later.bracket) == ("undecided", (4, 4))


def test_a_look_that_was_not_taken_on_fewer_examples_is_still_wanting() -> None:
    losses = losses_of((0.5, 0.2, 0.2), seeds=3, examples=80)
    found = judge_looks(losses, RANKS, (3, 5), margin=0.001, base=base_of(80), extended=((5, 40),))
    assert found.examples == 40
    assert any("The look at 5 seeds was not taken" in reason for reason in found.reasons)


def test_a_second_look_on_more_examples_is_planned_at_its_own_level() -> None:
    losses = losses_of((0.5, 0.2, 0.2), seeds=4, examples=40, seed_sd=0.002, example_sd=0.25, draw=3)
    found = judge_looks(losses, RANKS, (4,), margin=0.02, base=base_of(40), cost=lambda need: need.seeds)
    assert found.needed is not None
    fine = judge_looks(
        losses, RANKS, (4,), margin=0.02, base=base_of(40), cost=lambda need: need.seeds, extended=((4, 40),)
    )
    assert fine.needed == found.needed  # nothing was added: the same look
    assert isinstance(found.needed, Need)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_without_added_examples_nothing_changes(draw: int) -> None:
    losses = losses_of((0.5, 0.25, 0.2), seeds=5, examples=30, draw=draw)
    plain = judge_looks(losses, RANKS, (3, 5), margin=0.02, base=base_of(30))
    assert judge_looks(losses, RANKS, (3, 5), margin=0.02, base=base_of(30), extended=()) == plain


@pytest.mark.parametrize("seed_sd", [0.02, 0.002])
def test_error_stays_below_alpha_with_a_look_on_more_examples(seed_sd: float) -> None:
    """The small rank lies exactly at the margin; it is certified in at most alpha of the studies, at either look."""
    wrong, studies = 0, 300
    margin_in_loss = 0.02 * (4.7 - 0.2)
    for draw in range(studies):
        losses = losses_of(
            (0.2 + margin_in_loss * 1.0, 0.2), seeds=3, examples=80, seed_sd=seed_sd, example_sd=0.1, draw=draw
        )
        found = judge_looks(losses, (2, 4), (3,), margin=0.02, base=np.full(80, 4.7), alpha=0.1, extended=((3, 40),))
        wrong += found.state[0] == "certified"
    assert wrong / studies < 0.1 + 3 * (0.1 * 0.9 / studies) ** 0.5


def test_a_record_says_when_examples_were_added() -> None:
    record = certified_record(seed_noise=0.002, example_noise=0.3)
    assert record.certification is not None
    plain = conclude(record)
    later = conclude(replace(record, certification=replace(record.certification, extended=((3, 40),))))
    assert plain is not None
    assert later is not None
    assert plain.verdict is not None
    assert later.verdict is not None
    assert later.verdict.level < plain.verdict.level
