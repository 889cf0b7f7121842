"""The certify stage continues from any record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Certification, Declaration, Status, StudyPlan, StudyRecord, TrialRecord, TrialResult
from sweep.study.next_step import (
    EvaluateBase,
    Finish,
    FixRates,
    TakeLook,
    TrainConfirmation,
    TrainLadder,
    TuneRates,
    next_step,
    planned_looks,
)
from tests.conftest import arm, certified_record, result, study_record

CLEAR = {2: 0.9, 4: 0.3, 8: 0.3}
"""Rank 2 is clearly worse, 4 as good as 8 (base 4.0, margin 1 % of the gain)."""


def plan_for(record: StudyRecord, seeds: int = 3, ladder: tuple[int, ...] = (2, 4, 8)) -> StudyPlan:
    """A plan whose judging seeds are those of the made-up records: 0, 1, ..."""
    plan = composed_plan(["task=pharma"])
    declaration = replace(record.declaration, seeds=seeds, ladder=ladder)
    return replace(plan, seed=-1, declaration=declaration, arm=arm(), rate_trials=2, workers=1)


def begun(record: StudyRecord, **changes: object) -> StudyRecord:
    assert record.certification is not None
    return replace(record, certification=replace(record.certification, **changes))


def empty() -> StudyRecord:
    record = study_record([result(arm(rank), 0.3) for rank in (4, 8)])
    declared = Declaration((2, 4, 8), 3, 0.01, "gain", 0.05)
    return replace(record, declaration=declared, certification=Certification(declared, arm()))


def test_the_base_comes_first_then_rates() -> None:
    record = empty()
    assert next_step(plan_for(record), record) == EvaluateBase()
    scored = begun(record, base=certified_record(CLEAR).certification.base)  # type: ignore[union-attr]
    step = next_step(plan_for(record), scored)
    assert isinstance(step, TuneRates)
    assert step.pairs[0][0] in (2, 4, 8)


def test_rates_are_fixed_once_there_are_enough_trials() -> None:
    whole = certified_record(CLEAR).certification
    assert whole is not None
    record = begun(empty(), base=whole.base, tuning=whole.tuning[:2])
    step = next_step(plan_for(record), record)
    assert isinstance(step, FixRates)
    assert [choice.rank for choice in step.choices] == [2, 4, 8]


def test_between_ranks_rates_fall_faster_in_rslora() -> None:
    """Before any trial of the recipe; its scale grows with rank."""

    def fall(method: str) -> float:
        recipe = replace(arm(), method=method)
        record = begun(replace(empty(), trials=()), base=certified_record(CLEAR).certification.base, recipe=recipe)  # type: ignore[union-attr]
        step = next_step(replace(plan_for(record), arm=recipe, rate_trials=0), record)
        assert isinstance(step, FixRates)
        lowest, _, highest = (choice.learning_rate for choice in step.choices)
        return lowest / highest

    assert fall("rslora") == pytest.approx(fall("lora") * 2**0.75, rel=0.1)
    assert fall("lora_plus") == fall("lora")


def test_only_missing_seeds_are_trained_seed_by_seed() -> None:
    whole = certified_record(CLEAR)
    assert whole.certification is not None
    record = begun(whole, trials=whole.certification.trials[:4], looks=())
    step = next_step(plan_for(record), record)
    assert isinstance(step, TrainLadder)
    ended = {(trial.rank, trial.seed) for trial in whole.certification.trials[:4]}
    asked = [(recipe.rank, seed) for recipe, seed in step.arms]
    assert set(asked) | ended == {(rank, seed) for rank in (2, 4, 8) for seed in range(3)}
    assert not set(asked) & ended
    assert [seed for _, seed in asked] == sorted(seed for _, seed in asked), "whole seeds first"


def test_a_look_is_taken_when_its_seeds_have_ended_and_a_closed_bracket_ends_the_stage() -> None:
    record = certified_record(CLEAR)
    assert next_step(plan_for(record), begun(record, looks=())) == TakeLook(3)
    assert next_step(plan_for(record, seeds=8), record) == Finish(None)


def test_seeds_are_added_only_where_they_can_still_change_the_answer() -> None:
    record = certified_record({2: 0.9, 4: 0.325, 8: 0.3}, seed_noise=0.02)
    step = next_step(plan_for(record, seeds=5), record)
    assert isinstance(step, TrainLadder)
    assert {recipe.rank for recipe, _ in step.arms} == {4, 8}, "rank 2 is excluded and gets no more seeds"
    assert {seed for _, seed in step.arms} == {3, 4}


def test_the_limit_of_seeds_is_named() -> None:
    record = certified_record({2: 0.9, 4: 0.325, 8: 0.3}, seed_noise=0.02)
    step = next_step(plan_for(record, seeds=3), record)
    assert isinstance(step, Finish)
    assert step.reason is not None
    assert "certify.seeds=3" in step.reason


def test_a_longer_ladder_later_tunes_and_trains_what_is_missing() -> None:
    record = certified_record(CLEAR)
    plan = plan_for(record, ladder=(2, 4, 8, 16))
    step = next_step(plan, record)
    assert isinstance(step, TuneRates)
    assert {rank for rank, _ in step.pairs} == {16}
    choice = replace(record.certification.rates[-1], rank=16)  # type: ignore[union-attr]
    step = next_step(plan, begun(record, rates=(*record.certification.rates, choice)))  # type: ignore[union-attr]
    assert isinstance(step, TrainLadder)
    assert {recipe.rank for recipe, _ in step.arms} == {16}


def test_a_rank_that_failed_is_not_trained_again() -> None:
    record = certified_record({4: 0.3, 8: 0.3}, failures={2: (Status.INFEASIBLE, "out of memory")})
    choice = replace(record.certification.rates[-1], rank=2)  # type: ignore[union-attr]
    record = begun(record, rates=(choice, *record.certification.rates))  # type: ignore[union-attr]
    assert isinstance(next_step(plan_for(record), record), Finish)


@pytest.mark.parametrize(
    ("seeds", "looks"), [(1, (1,)), (2, (2,)), (3, (3,)), (4, (3, 4)), (8, (3, 5, 8)), (30, (3, 5, 8, 12, 18, 27, 30))]
)
def test_looks_are_fixed_in_advance(seeds: int, looks: tuple[int, ...]) -> None:
    assert planned_looks(seeds) == looks


@pytest.mark.parametrize(
    ("seeds", "first", "looks"), [(8, 5, (5, 8)), (8, 8, (8,)), (3, 5, (3,)), (8, 4, (4, 5, 8)), (8, 6, (6, 8))]
)
def test_no_look_is_taken_before_the_first_one(seeds: int, first: int, looks: tuple[int, ...]) -> None:
    assert planned_looks(seeds, first) == looks


def test_a_later_first_look_trains_all_its_seeds_before_any_verdict() -> None:
    record = certified_record({2: 0.9, 4: 0.3, 8: 0.3})
    record = begun(record, looks=())
    plan = replace(plan_for(record), first_look=5)
    plan = replace(plan, declaration=replace(plan.declaration, seeds=5))
    step = next_step(plan, record)
    assert isinstance(step, TrainLadder)
    assert {recipe.rank for recipe, _ in step.arms} == {2, 4, 8}


# a ladder that is cut from its largest rank


def cut(**changes: object) -> StudyRecord:
    return certified_record(CLEAR, ladder_by="cut", **changes)  # type: ignore[arg-type]


def asked(step: object) -> list[tuple[int, int | None, int]]:
    """Rank, rank it is cut from, and seed."""
    assert isinstance(step, TrainLadder | TrainConfirmation)
    return [(recipe.rank, recipe.cut_from, seed) for recipe, seed in step.arms]


def test_rates_of_a_cut_ladder_are_tuned_at_the_largest_rank_only() -> None:
    record = begun(cut(), rates=(), tuning=(), trials=(), looks=())
    plan = replace(plan_for(record), rate_trials=4)
    tuned = []
    while isinstance(step := next_step(plan, record), TuneRates):
        assert {rank for rank, _ in step.pairs} == {8}
        for rank, rate in step.pairs:
            tuned.append(TrialRecord(len(tuned) + 1, result(arm(rank, learning_rate=rate), 0.3)))
        record = begun(record, tuning=tuple(tuned))
    assert len(tuned) == 4
    assert isinstance(step, FixRates)
    assert [choice.rank for choice in step.choices] == [8]


def test_the_largest_rank_is_trained_with_every_seed_before_it_is_cut() -> None:
    record = begun(cut(), trials=(), looks=())
    step = next_step(plan_for(record), record)
    cuts = [(rank, 8, seed) for seed in range(3) for rank in (4, 2)]
    assert asked(step) == [*((8, None, seed) for seed in range(3)), *cuts]
    assert isinstance(step, TrainLadder)
    assert len({recipe.learning_rate for recipe, _ in step.arms}) == 1


def test_only_what_is_missing_of_a_cut_ladder_is_made() -> None:
    whole = cut()
    assert whole.certification is not None
    kept = tuple(trial for trial in whole.certification.trials if (trial.rank, trial.seed) not in {(8, 2), (4, 1)})
    record = begun(whole, trials=kept, looks=())
    assert asked(next_step(plan_for(record), record)) == [(8, None, 2), (4, 8, 1)]
    assert next_step(plan_for(whole), begun(whole, looks=())) == TakeLook(3)


def test_a_rank_added_to_a_cut_ladder_trains_nothing() -> None:
    record = cut()
    step = next_step(plan_for(record, ladder=(2, 3, 4, 8)), record)
    assert asked(step) == [(3, 8, seed) for seed in range(3)]


def test_without_a_result_of_the_largest_rank_nothing_is_cut() -> None:
    whole = cut()
    assert whole.certification is not None
    ended = {(8, 1): (Status.FAILED, "diverged: the loss was nan at step 3")}
    trials = [
        _without_result(trial, *ended[trial.rank, trial.seed]) if (trial.rank, trial.seed) in ended else trial
        for trial in whole.certification.trials
    ]
    record = begun(whole, trials=tuple(trials), looks=())
    step = next_step(plan_for(record), record)
    assert isinstance(step, Finish)
    assert step.reason is not None
    assert "rank 8, which the smaller ranks are cut from" in step.reason


def test_a_cut_without_a_result_leaves_its_rank_out() -> None:
    whole = cut()
    assert whole.certification is not None
    trials = tuple(
        _without_result(trial, Status.FAILED, "made up") if (trial.rank, trial.seed) == (4, 0) else trial
        for trial in whole.certification.trials
        if trial.seed < 1
    )
    record = begun(whole, trials=trials, looks=())
    assert asked(next_step(plan_for(record), record)) == [(8, None, 1), (8, None, 2), (2, 8, 1), (2, 8, 2)]


def test_the_certified_rank_is_trained_from_the_start_to_confirm_it() -> None:
    record = cut()
    plan = plan_for(record)
    assert next_step(plan, record) == Finish(None)
    plan = replace(plan, declaration=replace(plan.declaration, confirm=True))
    step = next_step(plan, record)
    assert isinstance(step, TuneRates)
    assert {rank for rank, _ in step.pairs} == {4}
    choice = replace(record.certification.rates[-1], rank=4, learning_rate=5e-3)  # type: ignore[union-attr]
    record = begun(record, rates=(*record.certification.rates, choice))  # type: ignore[union-attr]
    step = next_step(plan, record)
    assert asked(step) == [(4, None, seed) for seed in range(3)]
    assert isinstance(step, TrainConfirmation)
    assert {recipe.learning_rate for recipe, _ in step.arms} == {5e-3}
    trained = certified_record(CLEAR).certification.trials  # type: ignore[union-attr]
    record = begun(record, confirmed=tuple(trial for trial in trained if trial.rank == 4))
    assert next_step(plan, record) == Finish(None)


def _without_result(trial: TrialRecord, status: Status, reason: str) -> TrialRecord:
    return TrialRecord(trial.number, TrialResult(trial.spec, status, reason))
