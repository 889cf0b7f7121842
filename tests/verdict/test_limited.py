"""A limit of forgetting in the verdict: states, answer, reasons, what settles it, and the steps of the stage."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sweep.records import StudyRecord, declaration_from_json, to_json
from sweep.study.next_step import Finish, TakeLook, TrainLadder, next_step
from sweep.verdict import State, active_ranks
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.verdict_json import verdict_json
from tests.conftest import certified_record, cut_record
from tests.study.test_next_step import plan_for
from tests.verdict.forgetful import certification_of, forgetful

LADDER = {2: 0.45, 4: 0.36, 8: 0.30, 16: 0.30, 32: 0.30}
LITTLE = {2: 0.02, 4: 0.03, 8: 0.05, 16: 0.10, 32: 0.50}
"""Rank 32 forgets more than 0.2."""


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def states(conclusion: Conclusion) -> dict[int, str]:
    return {row.rank: row.state.value for row in conclusion.ladder}


def test_a_rank_that_is_enough_and_forgets_little_is_certified() -> None:
    conclusion = concluded(forgetful(certified_record(), LITTLE))
    assert (conclusion.status, conclusion.rank, conclusion.reasons) == ("certified", 8, ())
    assert states(conclusion) == {2: "inferior", 4: "inferior", 8: "certified", 16: "certified", 32: "forgets"}
    assert "Rank 8 is enough." in conclusion.headline
    assert "It forgets less than 0.2 nats per token on general prose: +0.050, at most +0.0" in conclusion.headline
    assert conclusion.has_finding("forgets_too_much")


def test_without_a_limit_nothing_changes() -> None:
    plain, with_rises = certified_record(), forgetful(certified_record(), LITTLE, limit=None)
    assert concluded(with_rises).verdict == concluded(plain).verdict
    assert concluded(with_rises).headline == concluded(plain).headline


def test_the_smallest_rank_that_keeps_enough_may_forget_too_much() -> None:
    rises = {**LITTLE, 8: 0.5}
    conclusion = concluded(forgetful(certified_record(), rises))
    assert conclusion.rank == 16
    assert states(conclusion)[8] == "forgets"
    assert conclusion.bracket == (16, 16)
    assert "Rank 8 forgets too much: at least +0.4" in conclusion.headline


def test_a_rank_that_forgets_too_much_does_not_stay_open() -> None:
    rises = {1: 0.01, 2: 0.5, 4: 0.02, 8: 0.02, 16: 0.02, 32: 0.02}
    plain, conclusion = concluded(cut_record()), concluded(forgetful(cut_record(), rises))
    assert plain.verdict is not None
    assert (plain.bracket, plain.verdict.closed) == ((2, 4), False)
    assert (conclusion.status, conclusion.bracket, conclusion.reasons) == ("certified", (4, 4), ())
    assert conclusion.settle is None
    assert "Rank 2 forgets too much" in conclusion.headline


def test_if_every_good_rank_forgets_too_much_none_is_certified() -> None:
    record = forgetful(certified_record(), dict.fromkeys(LADDER, 0.5))
    conclusion = concluded(record)
    assert (conclusion.status, conclusion.rank, conclusion.bracket) == ("undecided", None, ())
    assert conclusion.headline.startswith(
        "No rank is certified: every one that may keep enough is shown to forget more than the 0.2 nats per token that are allowed."
    )
    assert conclusion.verdict is not None
    assert active_ranks(conclusion.verdict) == ()
    assert conclusion.settle is not None
    assert "study.name=made-less-forgetting" in conclusion.settle[0]
    assert next_step(plan_for(record, seeds=8, ladder=tuple(LADDER)), record) == Finish(None)
    found = verdict_json(record, conclusion, "2026-01-31T12:00:00+00:00")
    assert (found["rank"], found["bracket"], found["status"]) == (None, [], "undecided")


@pytest.mark.parametrize(
    ("config", "key"),
    [("train: {replay: 0.0, steps: 36}\n", "train.replay=0.2"), ("train: {steps: 36}\n", "train.steps=18")],
)
def test_the_next_step_is_a_recipe_that_forgets_less(config: str, key: str) -> None:
    record = replace(forgetful(certified_record(), dict.fromkeys(LADDER, 0.5)), config=config)
    settle = concluded(record).settle
    assert settle is not None
    assert settle[0].endswith(f"study.name=made-less-forgetting {key}")


OPEN = {2: 0.02, 4: 0.03, 8: 0.17, 16: 0.18, 32: 0.18}


def test_a_rank_that_is_neither_below_nor_above_keeps_the_verdict_open() -> None:
    record = forgetful(certified_record(), OPEN, seed_noise=0.03)
    conclusion = concluded(record)
    verdict = conclusion.verdict
    assert verdict is not None
    assert (conclusion.status, conclusion.rank, conclusion.bracket) == ("undecided", None, (8, 32))
    assert {states(conclusion)[rank] for rank in (8, 16, 32)} == {"undecided"}
    assert verdict.on_loss is not None
    assert verdict.on_loss.rank == 8
    assert active_ranks(verdict) == (8, 16, 32)
    assert verdict.needed is not None
    assert verdict.needed.seeds > 3
    assert any("Rank 8 forgets about +0.1" in reason and "the limit is 0.2" in reason for reason in conclusion.reasons)
    assert conclusion.settle is not None
    assert f"certify.seeds={verdict.needed.seeds}" in conclusion.settle[0]


def test_seeds_are_added_for_the_forgetting_alone() -> None:
    record = forgetful(certified_record(), OPEN, seed_noise=0.03, most_seeds=8)
    step = next_step(plan_for(record, seeds=8, ladder=tuple(LADDER)), record)
    assert isinstance(step, TrainLadder)
    assert {(recipe.rank, seed) for recipe, seed in step.arms} == {(r, s) for r in (8, 16, 32) for s in (3, 4)}
    more = forgetful(certified_record(seeds=5), OPEN, seed_noise=0.03, most_seeds=8)
    certification = certification_of(more)
    kept = tuple(trial for trial in certification.trials if trial.seed < 3 or trial.rank >= 8)
    more = replace(more, certification=replace(certification, trials=kept, looks=(3,)))
    assert next_step(plan_for(more, seeds=8, ladder=tuple(LADDER)), more) == TakeLook(5)
    looked = replace(more, certification=replace(certification_of(more), looks=(3, 5)))
    verdict = concluded(looked).verdict
    assert verdict is not None
    assert [rung.seeds for rung in verdict.ladder] == [3] * 5, "the losses were decided at the first look"
    assert {rung.forgetting.seeds for rung in verdict.ladder[2:] if rung.forgetting} == {5}
    assert verdict.most_seeds == 5


def test_of_a_cut_ladder_the_largest_rank_is_trained_and_cut_to_the_open_ones() -> None:
    rises = {1: 0.01, 2: 0.02, 4: 0.17, 8: 0.18, 16: 0.19, 32: 0.5}
    record = forgetful(cut_record(seeds=3), rises, seed_noise=0.03)
    verdict = concluded(record).verdict
    assert verdict is not None
    assert 32 in active_ranks(verdict)
    step = next_step(plan_for(record, seeds=5, ladder=tuple(rises)), record)
    assert isinstance(step, TrainLadder)
    assert {recipe.rank for recipe, _ in step.arms if recipe.cut_from is None} == {32}
    assert 4 in {recipe.rank for recipe, _ in step.arms if recipe.cut_from is not None}


def test_seeds_that_cannot_decide_it_are_not_trained() -> None:
    record = forgetful(certified_record(), OPEN, seed_noise=0.0005, paragraph_noise=0.3, most_seeds=8)
    verdict = concluded(record).verdict
    assert verdict is not None
    assert verdict.needed is None
    assert verdict.futile is not None
    assert "would probably not decide how much rank 8 forgets" in verdict.futile
    assert next_step(plan_for(record, seeds=8, ladder=tuple(LADDER)), record) == Finish(verdict.futile)
    assert any("with 8 paragraphs alone the error is too large" in reason for reason in concluded(record).reasons)


def test_trials_of_an_earlier_version_cannot_be_tested() -> None:
    record = forgetful(certified_record(), LITTLE)
    certification = certification_of(record)
    plain = replace(record, certification=replace(certification, trials=certification_of(certified_record()).trials))
    conclusion = concluded(plain)
    assert (conclusion.status, conclusion.rank) == ("undecided", None)
    assert any("certify.max_forgetting cannot be tested" in reason for reason in conclusion.reasons)


def test_the_first_declaration_counts() -> None:
    record = forgetful(certified_record(), LITTLE)
    relaxed = replace(record, declaration=replace(record.declaration, max_forgetting=0.6))
    conclusion = concluded(relaxed)
    assert (conclusion.status, conclusion.rank, states(conclusion)[32]) == ("provisional", 8, "forgets")
    assert (
        "The limit of forgetting was changed after there were results, from 0.2 nats per token to 0.6 nats per token. The verdict uses "
        "the one declared first." in conclusion.reasons
    )
    assert conclusion.settle is not None
    assert "certify.max_forgetting=0.2" in conclusion.settle[0]
    later = forgetful(certified_record(), LITTLE, limit=None)
    later = replace(later, declaration=replace(later.declaration, max_forgetting=0.2))
    assert concluded(later).status == "provisional"
    assert concluded(later).verdict == concluded(certified_record()).verdict
    assert "certify.max_forgetting=null" in (concluded(later).settle or ("", 0))[0]


def test_the_declaration_is_stored_only_where_there_is_a_limit() -> None:
    declared = certification_of(certified_record()).declared
    assert "max_forgetting" not in to_json(declared)
    limited = replace(declared, max_forgetting=0.2)
    assert declaration_from_json(json.loads(json.dumps(to_json(limited)))) == limited
    assert declaration_from_json(to_json(declared)) == declared


def test_verdict_json_has_limit_and_bounds() -> None:
    record = forgetful(certified_record(), LITTLE)
    found = verdict_json(record, concluded(record), "2026-01-31T12:00:00+00:00")
    assert found["max_forgetting"] == 0.2
    top = found["ladder"][-1]
    assert (top["state"], top["forgetting_test"]["state"]) == (State.FORGETS.value, "above")
    assert top["forgetting_test"]["lower"] > 0.2
    assert top["forgetting"] == pytest.approx(top["forgetting_test"]["rise"])
