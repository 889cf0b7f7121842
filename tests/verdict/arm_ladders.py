"""Made-up studies with a ladder of arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sweep.records import Arm, Declaration, LadderArm, StudyRecord, TrialRecord
from tests.conftest import certified_record

TARGETS = ("q_proj", "v_proj")
ARMS = (
    LadderArm(
        Arm(0, 0.0, 0.0, (), 0.0, "prompt_tuning", own=(("tokens", 8),)),
        "prompt tuning (8 tokens)",
        0.03,
        (0.01, 0.3),
        2e4,
    ),
    LadderArm(Arm(2, 2.0, 0.0, TARGETS, 0.0), "LoRA at rank 2", 3e-3, (1e-3, 1e-2), 5e5),
    LadderArm(Arm(8, 2.0, 0.0, TARGETS, 0.0), "LoRA at rank 8", 3e-3, (1e-3, 1e-2), 2e6),
    LadderArm(Arm(0, 0.0, 0.0, (), 0.0, "full"), "full fine-tuning", 1e-4, (1e-5, 3e-4), 5e8),
)


def arms_record(
    losses: Sequence[float], cost: str = "adapter_bytes", measured: Sequence[float] | None = None, **about: Any
) -> StudyRecord:
    """A certified study of the first arms, the cheapest first; nothing was searched.

    Args:
        losses: of each arm on certify.
        measured: what each arm is measured to cost; by default what was known before.
        about: see `tests.conftest.certified_record`, whose ranks are places here.
    """
    record = certified_record(dict(enumerate(losses, 1)), **about)
    certification = record.certification
    assert certification is not None
    arms = ARMS[: len(losses)]
    costs = measured or [arm.cost or 0.0 for arm in arms]

    def with_arm(trial: TrialRecord) -> Any:
        if trial.arm is None:
            return trial
        place = trial.arm.rank
        spec = replace(trial.spec, arm=replace(arms[place - 1].arm, learning_rate=trial.arm.learning_rate))
        result = replace(trial.result, spec=spec)
        if result.measures is not None:
            own = int(costs[place - 1])
            figures = {
                "adapter_bytes": {"adapter_bytes": own},
                "trainable_parameters": {"trainable_parameters": own},
                "train_seconds": {"train_seconds": float(own)},
                "peak_memory": {"peak_bytes": own},
            }[cost]
            result = replace(result, measures=replace(result.measures, **figures))
        return replace(trial, result=result)

    declared = replace(certification.declared, cost=cost).with_arms(
        arms if cost in ("adapter_bytes", "trainable_parameters") else [replace(arm, cost=None) for arm in arms]
    )
    rungs = {int(rung): rung for rung in declared.ladder}
    return replace(
        record,
        trials=(),
        planned=0,
        declaration=declared,
        certification=replace(
            certification,
            declared=declared,
            rates=tuple(replace(choice, rank=rungs[choice.rank]) for choice in certification.rates),
            tuning=tuple(map(with_arm, certification.tuning)),
            trials=tuple(map(with_arm, certification.trials)),
            final=tuple(map(with_arm, certification.final)),
        ),
    )


def redeclared(record: StudyRecord, **changes: Any) -> Declaration:
    """What the certification declares, changed."""
    assert record.certification is not None
    return replace(record.certification.declared, **changes)
