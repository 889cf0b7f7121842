"""The command that would settle what is open, and how long it takes: each trial here takes 23 seconds."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from sweep.records import Declaration, StudyRecord
from sweep.verdict.conclude import conclude
from sweep.verdict.experiments import with_values
from tests.conftest import certified_record
from tests.verdict.test_conclude import with_certification, without_trials

COMMAND = ["python", "-m", "sweep", "+study=made", "search.trials=10", "seed=1"]


def settled(record: StudyRecord) -> tuple[list[str], float] | None:
    conclusion = conclude(record)
    assert conclusion is not None
    if conclusion.settle is None:
        return None
    command, seconds = conclusion.settle
    words = shlex.split(command)
    assert words[: len(COMMAND)] == COMMAND
    return words[len(COMMAND) :], seconds


def test_nothing_is_open_after_a_closed_bracket() -> None:
    assert settled(certified_record()) is None


def test_seeds_are_added_for_the_ranks_that_are_open() -> None:
    conclusion = conclude(record := certified_record(seed_noise=0.02))
    assert conclusion is not None
    assert conclusion.verdict is not None
    needed = conclusion.verdict.seeds_needed
    assert needed is not None
    assert settled(record) == ([f"certify.seeds={needed}"], pytest.approx((needed - 3) * 4 * 23.0))  # rank 2 is out


def test_trials_side_by_side_share_the_time() -> None:
    record = replace(certified_record(seed_noise=0.02), parallel=2)
    one = settled(replace(record, parallel=1))
    two = settled(record)
    assert one is not None
    assert two is not None
    assert two == (one[0], pytest.approx(one[1] / 2))


def test_study_that_was_stopped_goes_on_with_its_own_command() -> None:
    more = Declaration((2, 4, 8, 16, 32), 5, 0.01, "gain", 0.05)
    stopped = certified_record(seed_noise=0.02, stopped="budget.wall_clock=25 min is spent", declared=more)
    assert settled(stopped) == ([], pytest.approx(2 * 4 * 23.0))


def test_study_before_its_first_look_goes_on_with_its_own_command() -> None:
    early = with_certification(without_trials(certified_record(), 32, first_seed=1), looks=())
    assert settled(early) == ([], pytest.approx(2 * 23.0))


def test_rank_that_is_not_trained_yet_is_trained_by_the_same_command() -> None:
    assert settled(without_trials(certified_record(), 32, first_seed=1)) == ([], pytest.approx(2 * 23.0))


def test_range_of_rates_is_widened_if_a_rate_is_at_its_edge() -> None:
    high = settled(certified_record(at_edge=(4, 8)))
    assert high is not None
    assert high[0] == ["search.space.learning_rate.high=0.004"]
    assert high[1] == pytest.approx(23.0 * (5 + 15 + 15))  # another search: explored, rates, ladder
    low = settled(certified_record(at_edge=(4,), tried={4: [(5e-4, 0.3), (1e-3, 0.4)]}))
    assert low is not None
    assert low[0] == ["search.space.learning_rate.low=0.0005"]


def test_ladder_is_widened_if_the_loss_is_still_falling() -> None:
    found = settled(certified_record({2: 0.6, 4: 0.45, 8: 0.30}))
    assert found == (["certify.ladder=[2,4,8,16]"], pytest.approx(4 * 23.0))


def test_command_restores_the_first_declaration() -> None:
    later = Declaration((2, 4, 8, 16, 32), 3, 0.05, "loss", 0.1)
    found = settled(certified_record(declared=later))
    assert found == (["certify.margin=0.01", "certify.margin_of=gain", "certify.alpha=0.05"], 0.0)


def test_no_command_if_the_base_is_as_good() -> None:
    assert settled(certified_record(base_loss=0.25)) is None


@pytest.mark.parametrize(
    "typed", ["certify.seeds=3", "certify.seeds=3 certify.seeds=4", "++certify.seeds=3", "+certify.seeds=3"]
)
def test_values_are_replaced_and_not_repeated(typed: str) -> None:
    record = replace(certified_record(), command=f"python -m sweep {typed} task.path='a b'")
    assert with_values(record.command, {"certify.seeds": "8"}) == "python -m sweep 'task.path=a b' certify.seeds=8"


LADDER = {2: 0.6, 4: 0.5, 8: 0.331, 16: 0.3}


def test_a_step_that_costs_many_times_the_study_is_not_proposed() -> None:
    """Rank 8 sits close to the margin of 0.037: hundreds of seeds would decide it, and nobody trains those."""
    close = certified_record(LADDER, seed_noise=0.02)
    conclusion = conclude(close)
    assert conclusion is not None
    assert conclusion.verdict is not None
    assert conclusion.verdict.seeds_needed == 236
    assert conclusion.verdict.needed is None
    text = " ".join(conclusion.reasons)
    assert "cannot be decided with these data at a sensible price" in text
    assert "would probably decide it" not in text + conclusion.headline
    for way in ("more certify examples", "shorter ladder", "certify.margin="):
        assert way in text
    found = settled(close)
    assert found is None or found[1] < 4 * 23.0 * (4 + 12 + 12)
    wider = float(text.partition("certify.margin=")[2].partition(",")[0])
    decided = conclude(certified_record(LADDER, seed_noise=0.02, margin=wider))
    assert decided is not None
    assert decided.verdict is not None
    assert decided.verdict.closed
