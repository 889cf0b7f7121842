from __future__ import annotations

import pytest

from sweep.records import (
    Arm,
    Measures,
    Provenance,
    Report,
    Stage,
    Status,
    StepLoss,
    Training,
    TrialResult,
    TrialSpec,
)


@pytest.fixture
def spec() -> TrialSpec:
    arm = Arm(rank=16, alpha_ratio=2.0, dropout=0.0, targets=("q_proj", "v_proj"), learning_rate=1e-3)
    return TrialSpec(
        "0123abcd", "pharma", Stage.EXPLORE, arm, Training(steps=60, batch_size=4), seed=0, report_every=20
    )


@pytest.fixture
def complete(spec: TrialSpec) -> TrialResult:
    """A complete trial in which everything was measured."""
    return TrialResult(
        spec=spec,
        status=Status.COMPLETE,
        measures=Measures(
            loss=0.15,
            metrics={"macro_f1": 0.9, "macro_f1/rare": 0.7},
            examples=128,
            tokens=512,
            peak_bytes=900_000_000,
            peak_above_base_bytes=200_000_000,
            base_bytes=100_000_000,
            adapter_bytes=1_800_000,
            trainable_parameters=460_800,
            trainable_fraction=0.0034,
            train_seconds=20.0,
            eval_seconds=2.0,
            tokens_per_second=400.0,
            train_loss=0.2,
            general_loss=3.1,
            forgetting_loss_delta=0.01,
            phases={"attach": 0.5, "train": 20.0},
            bits_per_byte=0.06,
        ),
        history=tuple(StepLoss(step, 7.0 / step, 1e-3 * (1 - step / 60)) for step in range(1, 61)),
        reports=(Report(20, 0.5), Report(40, 0.3)),
        started=1_700_000_000.0,
        seconds=23.0,
        provenance=Provenance({"torch": "2.13.0"}, "cpu", "hub", "basehash", "datahash", 2, compute="float32"),
    )
