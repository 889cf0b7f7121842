"""The certify stage of a ladder of arms, step by step; and what its arms cost before anything is trained."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError
from sweep.records import ArmSize, LoadReport, Status, StudyPlan, StudyRecord, TrialRecord, arm_at
from sweep.study.arm_costs import with_arm_costs
from sweep.study.arm_rates import next_arm_rates
from sweep.study.checks import check_loaded
from sweep.study.next_step import Finish, FixRates, Step, TakeLook, TrainLadder, TuneRates, next_step
from sweep.verdict.conclude import conclude
from tests.verdict.arm_ladders import ARMS, arms_record

CLEAR = (0.9, 0.3, 0.3, 0.3)
LOADED = LoadReport(
    source="made",
    base_hash="b",
    base_bytes=10,
    resident_bytes=10,
    linear_modules=("model.layers.0.q_proj", "model.layers.0.v_proj"),
    context=64,
    parameters=1000,
    load_seconds=0.1,
    device="cpu",
    data_hash="d",
    too_long={},
    examples={"train": 10, "tune": 10, "certify": 10, "test": 10},
)


def plan_for(record: StudyRecord, **changes: Any) -> StudyPlan:
    plan = composed_plan(["task=pharma"])
    plan = replace(plan, seed=-1, declaration=record.declaration, rate_trials=3, workers=2)
    return replace(plan, search=replace(plan.search, trials=0), **changes)


def begun(record: StudyRecord, **changes: object) -> StudyRecord:
    assert record.certification is not None
    return replace(record, certification=replace(record.certification, **changes))


def untuned(record: StudyRecord, *tuning: TrialRecord) -> StudyRecord:
    return begun(record, rates=(), trials=(), looks=(), tuning=tuning)


def tried(record: StudyRecord, place: int, rate: float, loss: float, status: Status = Status.COMPLETE) -> TrialRecord:
    """A trial that tuned the rate of the arm at a place."""
    assert record.certification is not None
    like = next(trial for trial in record.certification.tuning if record.certification.rung_of(trial) == place)
    assert like.measures is not None
    spec = replace(like.spec, arm=arm_at(record.declaration.ladder[place - 1], record.certification.recipe, rate))
    measures = replace(like.measures, loss=loss) if status is Status.COMPLETE else None
    return replace(like, result=replace(like.result, spec=spec, measures=measures, status=status, history=()))


class TestRates:
    def test_every_arm_begins_with_the_rate_of_its_method(self) -> None:
        record = untuned(arms_record(CLEAR))
        step = next_step(plan_for(record), record)
        assert isinstance(step, TuneRates)
        first = dict(reversed(step.pairs))
        assert first == {1: 0.03, 2: 0.003, 3: 0.003, 4: 0.0001}
        assert len(step.pairs) == 8  # half of three trials each, rounded up

    def test_each_arm_gets_its_trials_and_then_its_own_rate(self) -> None:
        whole = arms_record(CLEAR)
        trials = [
            tried(whole, place, ARMS[place - 1].learning_rate * factor, 0.5 if factor == best else 0.9)
            for place, best in ((1, 2), (2, 0.5), (3, 1), (4, 1))
            for factor in (0.5, 1, 2)
        ]
        record = untuned(whole, *trials)
        assert whole.certification is not None
        assert next_arm_rates(plan_for(record), record, whole.certification) == ()
        step = next_step(plan_for(record), record)
        assert isinstance(step, FixRates)
        ratios = [choice.learning_rate / ARMS[choice.rank - 1].learning_rate for choice in step.choices]
        assert ratios[0] > 1.2
        assert ratios[1] < 0.8
        assert 0.8 < ratios[2] < 1.25
        assert [len(choice.tried) for choice in step.choices] == [3, 3, 3, 3]

    def test_an_arm_that_does_not_fit_into_memory_is_tried_once(self) -> None:
        whole = arms_record(CLEAR)
        record = untuned(whole, tried(whole, 4, 1e-4, 0.0, Status.INFEASIBLE))
        step = next_step(plan_for(record), record)
        assert isinstance(step, TuneRates)
        assert 4 not in {place for place, _ in step.pairs}


class TestLadder:
    def test_all_arms_with_one_seed_after_another(self) -> None:
        record = begun(arms_record(CLEAR), trials=(), looks=())
        step = next_step(plan_for(record), record)
        assert isinstance(step, TrainLadder)
        methods = [(arm.method, arm.rank, seed) for arm, seed in step.arms[:5]]
        assert methods == [
            ("prompt_tuning", 0, 0),
            ("lora", 2, 0),
            ("lora", 8, 0),
            ("full", 0, 0),
            ("prompt_tuning", 0, 1),
        ]
        assert all(arm.learning_rate > 0 for arm, _ in step.arms)

    def test_only_what_is_missing(self) -> None:
        whole = arms_record(CLEAR)
        assert whole.certification is not None
        record = begun(whole, trials=whole.certification.trials[:-1], looks=())
        step = next_step(plan_for(record), record)
        assert isinstance(step, TrainLadder)
        assert [(arm.method, seed) for arm, seed in step.arms] == [("full", 2)]

    def test_then_the_look_and_the_end(self) -> None:
        record = arms_record(CLEAR)
        assert next_step(plan_for(record), begun(record, looks=())) == TakeLook(3)
        assert next_step(plan_for(record), record) == Finish(None)

    def test_the_order_declared_first_stays(self) -> None:
        record = begun(arms_record(CLEAR), trials=(), looks=())
        turned = plan_for(record, declaration=record.declaration.with_arms(ARMS[::-1]))
        assert next_step(turned, record) == next_step(plan_for(record), record)


def climbed(losses: tuple[float, ...], unfit: tuple[int, ...] = ()) -> tuple[StudyRecord, list[Step]]:
    """A study from its first step to its last, whose trials end as made up; `unfit` are the places of arms that do not fit into memory."""
    whole = arms_record(losses)
    assert whole.certification is not None
    ready = {(whole.certification.rung_of(trial), trial.seed): trial for trial in whole.certification.trials}
    record, taken = untuned(whole), []
    while not (taken and isinstance(taken[-1], Finish)):
        known = record.certification
        assert known is not None
        assert len(taken) < 20, taken
        step = next_step(plan_for(record), record)
        taken.append(step)
        if isinstance(step, TuneRates):
            own = [
                tried(whole, place, rate, 0.5 + abs(math.log2(rate / ARMS[place - 1].learning_rate)) ** 2)
                if place not in unfit
                else tried(whole, place, rate, 0.0, Status.INFEASIBLE)
                for place, rate in step.pairs
            ]
            record = begun(record, tuning=(*known.tuning, *own))
        elif isinstance(step, FixRates):
            record = begun(record, rates=step.choices)
        elif isinstance(step, TakeLook):
            record = begun(record, looks=(*known.looks, step.seeds))
        elif isinstance(step, TrainLadder):
            ended = []
            for arm, seed in step.arms:
                trial = ready[known.declared.rung_of(arm), seed]
                out = replace(trial.result, spec=replace(trial.spec, arm=arm))
                if known.declared.rung_of(arm) in unfit:
                    out = replace(out, status=Status.INFEASIBLE, measures=None, reason="too large")
                ended.append(TrialRecord(trial.number, out, trial.run_id, trial.nats if out.measures else ()))
            record = begun(record, trials=(*known.trials, *ended))
    return record, taken


@pytest.mark.parametrize(
    ("losses", "unfit", "answer"),
    [
        (CLEAR, (), "LoRA at rank 2"),
        ((0.3, 0.9, 0.3, 0.6), (), "prompt tuning (8 tokens)"),
        ((0.9, 0.31, 0.3, 0.6), (), "LoRA at rank 2"),
        (CLEAR, (4,), "LoRA at rank 2"),
        (CLEAR, (2, 4), "LoRA at rank 8"),
    ],
)
def test_from_the_first_step_to_the_last(losses: tuple[float, ...], unfit: tuple[int, ...], answer: str) -> None:
    record, taken = climbed(losses, unfit)
    conclusion = conclude(record)
    assert conclusion is not None
    assert str(conclusion.rank) == answer
    assert record.certification is not None
    tuned = Counter(record.certification.rung_of(trial) for trial in record.certification.tuning)
    assert tuned == {place: 2 if place in unfit else 3 for place in (1, 2, 3, 4)}
    assert [left.rank for left in conclusion.left_out] == list(unfit)
    assert [type(step) for step in taken][-3:] == [TrainLadder, TakeLook, Finish]


class TestCosts:
    SIZES = (
        ArmSize(20_000, 5_000),
        ArmSize(3_000_000, 70_000),
        ArmSize(2_000_000, 80_000),
        ArmSize(500_000_000, 9_000_000),
    )

    def plan(self, cost: str = "adapter_bytes") -> StudyPlan:
        record = arms_record(CLEAR)
        return plan_for(record, declaration=replace(record.declaration, cost=cost))

    @pytest.mark.parametrize(
        ("cost", "order", "costs"),
        [
            ("adapter_bytes", [0, 2, 1, 3], [20_000, 2_000_000, 3_000_000, 500_000_000]),
            ("trainable_parameters", [0, 1, 2, 3], [5_000, 70_000, 80_000, 9_000_000]),
        ],
    )
    def test_arms_are_ordered_by_what_is_known_before(self, cost: str, order: list[int], costs: list[float]) -> None:
        declared = with_arm_costs(self.plan(cost), replace(LOADED, arm_sizes=self.SIZES)).declaration
        assert [arm.words for arm in declared.arms] == [ARMS[place].words for place in order]
        assert [str(rung) for rung in declared.ladder] == [arm.words for arm in declared.arms]
        assert [arm.cost for arm in declared.arms] == costs

    def test_of_equal_costs_the_smaller_base_is_the_cheaper_one(self) -> None:
        plan = composed_plan(["quant=none", "certify.ladder=[{method: lora, r: 8}, {method: lora, r: 8, quant: nf4}]"])
        sizes = (ArmSize(2_000_000, 80_000), ArmSize(2_000_000, 80_000))
        declared = with_arm_costs(plan, replace(LOADED, arm_sizes=sizes)).declaration
        assert [arm.words for arm in declared.arms] == ["LoRA at rank 8 on nf4", "LoRA at rank 8"]
        bare = replace(LOADED, linear_modules=("q_proj", "v_proj"))
        check_loaded(plan, replace(bare, arm_sizes=sizes), [], searched=True)
        ladder = (
            "certify.ladder=[{method: lora, r: 8, quant: fp4}, {method: lora, r: 8}, {method: lora, r: 8, quant: nf4}]"
        )
        plan = composed_plan(["quant=none", ladder])
        with pytest.raises(ConfigurationError) as caught:
            check_loaded(plan, replace(bare, arm_sizes=(*sizes, sizes[0])), [], searched=True)
        (told,) = caught.value.problems
        assert "arm 1 (LoRA at rank 8 on fp4) and arm 3 (LoRA at rank 8 on nf4) cost the same, 2.0 MB" in told

    def test_seconds_cannot_be_known_so_the_order_is_the_one_written(self) -> None:
        plan = self.plan("train_seconds")
        assert with_arm_costs(plan, replace(LOADED, arm_sizes=self.SIZES)) == plan

    def test_equal_costs_and_arms_that_do_not_fit_are_named_together(self) -> None:
        sizes = (self.SIZES[0], self.SIZES[1], self.SIZES[1], self.SIZES[3])
        with pytest.raises(ConfigurationError, match="cost the same") as caught:
            check_loaded(self.plan(), replace(LOADED, arm_sizes=sizes), [], searched=True)
        assert caught.value.problems[0].startswith(
            "certify.ladder: arm 2 (LoRA at rank 2) and arm 3 (LoRA at rank 8) cost the same, 3.0 MB (certify.cost=adapter_bytes)"
        )
        unfit = (ArmSize(problem="no such layer"), *self.SIZES[1:])
        bare = replace(LOADED, arm_sizes=unfit, linear_modules=("model.layers.0.q_proj",))
        with pytest.raises(ConfigurationError) as caught:
            check_loaded(self.plan(), bare, [], searched=True)
        assert [problem.split(":")[1] for problem in caught.value.problems] == [
            " arm 1 (prompt tuning (8 tokens))",
            " arm 2",
            " arm 3",
        ]
        check_loaded(self.plan("peak_memory"), replace(LOADED, arm_sizes=sizes), [], searched=True)
