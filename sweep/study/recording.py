"""What a sweep's MLflow runs say about the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sweep.command import command_line
from sweep.records import Status, StudyPlan, StudyRecord, TrialResult, loss_of
from sweep.tracking import SweepRun
from sweep.trials import TrialStore

_NOT_A_RECIPE = ("hydra", "search", "tracking", "storage", "study", "budget", "certify", "executor")


Told = Mapping[str, tuple[TrialResult, Sequence[Path]]]
"""See `SweepRun.told`."""


def told(record: StudyRecord, store: TrialStore) -> Told:
    """How the study's trials ended, by MLflow run."""
    certification = record.certification
    trials = [*record.trials, *([record.base] if record.base else [])]
    if certification is not None:
        scored = [*([certification.base] if certification.base else []), *certification.trials]
        trials += [*certification.tuning, *certification.final, *(each.trial for each in scored)]
    return {trial.run_id: (trial.result, store.artifacts(trial.result)) for trial in trials if trial.run_id is not None}


def sweep_run(plan: StudyPlan, identity: str, told: Told, *, alone: bool = True) -> SweepRun:
    """The parent run of this invocation."""
    return SweepRun(
        study=plan.name,
        config_yaml=plan.config,
        tags={"sweep.identity": identity, "sweep.engine": plan.foundation.engine},
        params=dict(_flat(yaml.safe_load(plan.config))),
        command=command_line(),
        told=told,
        alone=alone,
    )


def summary(record: StudyRecord) -> Mapping[str, float]:
    """The parent run's metrics."""
    found = {f"trials/{status.value}": 0.0 for status in Status}
    for trial in record.trials:
        found[f"trials/{trial.result.status.value}"] += 1
    found["trials/interrupted"] = float(record.interrupted)
    best = record.best()
    if best is not None:
        found["best/rank"] = float(best.result.spec.rank)
    for name, one in (("best", best), ("base", record.base)):
        if one is not None and one.result.measures is not None:
            found[f"{name}/loss"] = loss_of(one.result)
            if record.metric in one.result.measures.metrics:
                found[f"{name}/{record.metric}"] = one.result.measures.metrics[record.metric]
    return found


def _flat(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in section.items():
        if not prefix and key in _NOT_A_RECIPE:
            continue
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            pairs.append((f"{prefix}{key}", ",".join(str(entry) for entry in value)))
        elif value is not None:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs
