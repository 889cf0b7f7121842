"""What several rooms' tests share: a small learnable task, and made-up records."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sweep.records import (
    Arm,
    Declaration,
    Measures,
    Provenance,
    Report,
    Stage,
    Status,
    StudyRecord,
    Training,
    TrialRecord,
    TrialResult,
    TrialSpec,
)

# tests run side by side: each takes one core (set before torch is imported)
os.environ.setdefault("OMP_NUM_THREADS", "1")

TRAINING = Training(steps=100, batch_size=4)
TARGET_SETS: Mapping[str, tuple[str, ...]] = {"q_v": ("q_proj", "v_proj"), "output": ("o_proj",)}
ROWS = {"train": 24, "validation": 24, "test": 12}
LABELS = ("red", "green", "blue")


@pytest.fixture
def made_task(tmp_path: Path) -> Path:
    """A folder for `task=jsonl`: the label stands in the prompt, so that any model can learn it."""
    folder = tmp_path / "made"
    folder.mkdir()
    for split, count in ROWS.items():
        labels = [LABELS[number % len(LABELS)] for number in range(count)]
        rows = [
            {"prompt": f"{split} {number}: the {label} box", "completion": label, "label": label}
            for number, label in enumerate(labels)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arm(
    rank: int = 8,
    alpha_ratio: float = 2.0,
    dropout: float = 0.0,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    learning_rate: float = 2e-3,
) -> Arm:
    return Arm(rank, alpha_ratio, dropout, targets, learning_rate)


def measures(loss: float, rank: int = 8, metric: float = 0.5) -> Measures:
    return Measures(
        loss=loss,
        metrics={"accuracy": metric, "accuracy/rare": metric / 2},
        examples=128,
        tokens=512,
        peak_bytes=900_000_000 + rank,
        peak_above_base_bytes=200_000_000,
        base_bytes=100_000_000,
        adapter_bytes=rank * 100_000,
        trainable_parameters=rank * 25_000,
        trainable_fraction=rank * 0.0002,
        train_seconds=20.0,
        eval_seconds=2.0,
        tokens_per_second=400.0,
        general_loss=3.1,
        forgetting_loss_delta=0.25,
    )


def result(
    recipe: Arm | None,
    loss: float | None,
    status: Status = Status.COMPLETE,
    reason: str | None = None,
    reports: Sequence[Report] = (),
) -> TrialResult:
    """What came of one trial; complete where there is a loss."""
    rank = recipe.rank if recipe else 0
    stage = Stage.EXPLORE if recipe else Stage.BASE
    return TrialResult(
        spec=TrialSpec("0123abcd", "made", stage, recipe, TRAINING, seed=0),
        status=status,
        reason=reason,
        measures=None if loss is None else measures(loss, rank),
        reports=tuple(reports),
        started=1_700_000_000.0,
        seconds=23.0,
        provenance=Provenance({"torch": "2.13.0"}, "cpu", "hub", "basehash", "datahash", 2),
    )


def study_record(trials: Sequence[TrialResult], base_loss: float | None = 4.0) -> StudyRecord:
    return StudyRecord(
        name="made",
        identity="0123456789",
        model="tiny",
        task="boxes",
        metric="accuracy",
        base=None if base_loss is None else TrialRecord(-1, result(None, base_loss), "run-base"),
        trials=tuple(TrialRecord(number, trial, f"run-{number}") for number, trial in enumerate(trials)),
        interrupted=0,
        planned=10,
        declaration=Declaration(ladder=(2, 4, 8), seeds=3, margin=0.01, margin_of="gain", alpha=0.05),
        data_hash="datahash",
        target_sets=TARGET_SETS,
        config="seed: 0\n",
        command="python -m sweep +study=made search.trials=10 seed=1",
    )
