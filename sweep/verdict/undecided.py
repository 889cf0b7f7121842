"""What can be said after `explore` alone: how the ranks stand, and that none of them is certified.

One seed cannot tell a better rank from a luckier one, and the learning rate was not tuned for each rank, so the status is
`undecided` whatever the losses are. The fields are those of `verdict.json`, schema 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.records import Measures, Status, StudyRecord, TrialRecord, loss_of

SCHEMA = 1
REASONS = (
    "every arm was trained with one seed: a difference between ranks can be chance",
    "the learning rate was not tuned for each rank on its own, so a rank can look worse than it is",
    "no rank was held against the margin on the certify split",
)


def undecided(record: StudyRecord, created: str) -> dict[str, Any]:
    """The contents of verdict.json for a study that was explored and not certified.

    Args:
        created: the time of writing, ISO 8601, UTC.
    """
    best = record.best()
    ladder = sorted({trial.result.spec.rank for trial in record.complete()})
    counts = {status.value: 0 for status in (Status.COMPLETE, Status.PRUNED, Status.FAILED, Status.INFEASIBLE)}
    for trial in record.trials:
        counts[trial.result.status.value] += 1
    arm = best.result.spec.arm if best else None
    provenance = best.result.provenance if best else None
    return {
        "schema": SCHEMA,
        "study": record.name,
        "model": record.model,
        "task": record.task,
        "created": created,
        "status": "undecided",
        "rank": None,
        "bracket": [min(ladder), max(ladder)] if ladder else [],
        "margin": record.declaration.margin,
        "margin_of": record.declaration.margin_of,
        "alpha": record.declaration.alpha,
        "primary_metric": record.metric,
        "reasons": list(REASONS),
        "ladder": [_rung(rank, record, loss_of(best.result) if best else 0.0) for rank in ladder],
        "test": {},
        "forgetting": _forgetting(best),
        "trials": {**counts, "interrupted": record.interrupted},
        "adapter_config": {
            "r": arm.rank,
            "lora_alpha": arm.alpha,
            "lora_dropout": arm.dropout,
            "target_modules": list(arm.targets),
            "learning_rate": arm.learning_rate,
        }
        if arm
        else {},
        "seeds_needed": None,
        "versions": dict(provenance.versions) if provenance else {},
        "data_hash": record.data_hash,
        "config_hash": record.identity,
    }


def _rung(rank: int, record: StudyRecord, best_loss: float) -> dict[str, Any]:
    trials = [trial for trial in record.complete() if trial.result.spec.rank == rank]
    measures = _measures(min(trials, key=lambda trial: loss_of(trial.result)))
    return {
        "rank": rank,
        "state": "undecided",
        "seeds": 1,
        "mean": measures.loss,
        "diff_to_best": measures.loss - best_loss,
        "upper_bound": None,
        "adapter_bytes": measures.adapter_bytes,
        "trainable_parameters": measures.trainable_parameters,
        "peak_memory_bytes": measures.peak_bytes,
        "train_seconds": measures.train_seconds,
        "metrics": dict(measures.metrics),
    }


def _forgetting(best: TrialRecord | None) -> Mapping[str, float]:
    measures = best.result.measures if best else None
    if measures is None or measures.forgetting_loss_delta is None or measures.general_loss is None:
        return {}
    return {"loss_delta": measures.forgetting_loss_delta, "general_loss": measures.general_loss}


def _measures(trial: TrialRecord) -> Measures:
    assert trial.result.measures is not None
    return trial.result.measures
