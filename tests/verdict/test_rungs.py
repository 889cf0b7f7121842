"""Ladders of arms: the statistics know only their order, people their names."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from sweep.records import Arm, Declaration, LadderArm, Rung, arm_at, declaration_from_json, rung_words, to_json
from sweep.verdict import State, judge, judge_looks
from sweep.verdict.figures import made_at, named

LORA = Arm(4, 2.0, 0.0, ("q_proj",), 0.0)
PROMPT = Arm(0, 0.0, 0.0, (), 0.0, "prompt_tuning", own=(("tokens", 8),))
FULL = Arm(0, 0.0, 0.0, (), 0.0, "full")
ARMS = (
    LadderArm(PROMPT, "prompt tuning (8 tokens)", 0.03, (0.01, 0.3), 2304.0),
    LadderArm(LORA, "LoRA at rank 4", 3e-3, (1e-3, 1e-2), 18432.0),
    LadderArm(FULL, "full fine-tuning", 1e-4, (1e-5, 3e-4), 1e6),
)
LADDER = Declaration(ladder_by="train").with_arms(ARMS).ladder


def losses(means: tuple[float, ...], seeds: int = 5) -> np.ndarray:
    random = np.random.default_rng(3)
    return (
        np.array(means)[:, None, None]
        + 0.004 * random.standard_normal((len(means), seeds, 1))
        + 0.01 * random.standard_normal((len(means), seeds, 40))
    )


def test_a_rung_is_its_place_with_a_name() -> None:
    first, second, _ = LADDER
    assert 1 == first < second
    assert {1: "x"}[first] == "x"
    assert f"{first}" == str(first) == "prompt tuning (8 tokens)"
    assert json.dumps([first, second]) == "[1, 2]"
    assert str(copy.deepcopy(first)) == str(first)
    assert (rung_words(8), rung_words(second)) == ("rank 8", "LoRA at rank 4")
    assert named(LADDER) == "prompt tuning (8 tokens), LoRA at rank 4 and full fine-tuning"
    assert (made_at(8), made_at(second)) == ("at rank 8", "with LoRA at rank 4")


def test_a_declaration_of_arms_comes_back_from_json_and_finds_each_arm() -> None:
    declared = Declaration(ladder_by="train", cost="trainable_parameters").with_arms(ARMS)
    again = declaration_from_json(json.loads(json.dumps(to_json(declared))))
    assert again == declared
    assert [str(rung) for rung in again.ladder] == [str(rung) for rung in declared.ladder]
    assert [again.rung_of(arm_at(rung, LORA, 0.1)) for rung in again.ladder] == [1, 2, 3]
    assert again.rung_of(None) == 0
    with pytest.raises(KeyError):
        again.rung_of(Arm(8, 2.0, 0.0, ("q_proj",), 0.0))


def test_a_declaration_of_ranks_is_stored_as_it_always_was() -> None:
    assert to_json(Declaration(ladder=(2, 4))) == {
        **{"ladder": [2, 4], "seeds": 5, "margin": 0.02, "margin_of": "gain"},
        **{"alpha": 0.05, "ladder_by": "train", "confirm": False},
    }
    assert Declaration(ladder=(2, 4)).rung_of(LORA) == 4


@pytest.mark.parametrize("means", [(0.5, 0.2, 0.2), (0.21, 0.2, 0.25), (0.2, 0.2, 0.2)])
def test_where_the_order_is_that_of_quality_arms_are_judged_as_ranks_are(means: tuple[float, ...]) -> None:
    table, base = losses(means), np.full(40, 3.0)
    of_ranks = judge(table, (1, 2, 3), margin=0.02, base=base)
    of_arms = judge(table, LADDER, margin=0.02, base=base)
    assert (of_arms.state, of_arms.bracket, of_arms.rank) == (of_ranks.state, of_ranks.bracket, of_ranks.rank)
    assert of_arms.upper_bound == of_ranks.upper_bound
    assert all(isinstance(rung, Rung) for rung in (*of_arms.ranks, *of_arms.bracket))


def test_a_bad_arm_between_good_ones_is_passed_over() -> None:
    table, base = losses((0.2, 0.5, 0.2)), np.full(40, 3.0)
    of_arms = judge(table, LADDER, margin=0.02, base=base)
    assert of_arms.state == (State.CERTIFIED, State.INFERIOR, State.CERTIFIED)
    assert (str(of_arms.rank), of_arms.closed) == ("prompt tuning (8 tokens)", True)
    of_ranks = judge(table, (1, 2, 3), margin=0.02, base=base)
    assert of_ranks.rank == 3  # a larger rank that is worse than a smaller one is not expected, and stops the sequence


def test_no_sentence_speaks_of_ranks() -> None:
    base = np.full(40, 3.0)
    noisy = losses((0.5, 0.3, 0.25)) + 0.2 * np.random.default_rng(1).standard_normal((3, 5, 1))
    few = judge_looks(
        [row[:count] for row, count in zip(noisy, (2, 5, 5), strict=True)], LADDER, (5,), margin=0.02, base=base
    )
    for verdict in (
        judge(noisy, LADDER, margin=0.02, base=base),
        few,
        judge(noisy[:, :1], LADDER, margin=0.02, base=base),
    ):
        assert verdict.reasons
        for reason in verdict.reasons:
            assert "rank" not in reason.replace("LoRA at rank 4", "")
