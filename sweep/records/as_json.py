"""Records as JSON and back: how they cross processes and sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sweep.records.recipe import Arm, Training
from sweep.records.trained import TrainedAdapter
from sweep.records.trial import Measures, Provenance, Report, Split, Stage, Status, StepLoss, TrialResult, TrialSpec


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain JSON types; enums become their values, tuples become lists."""
    plain: dict[str, Any] = dataclasses.asdict(record, dict_factory=lambda items: {k: _plain(v) for k, v in items})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def arm_from_json(data: Mapping[str, Any]) -> Arm:
    """The arm that `to_json` wrote."""
    return Arm(**{**data, "targets": tuple(data["targets"])})


def trial_spec_from_json(data: Mapping[str, Any]) -> TrialSpec:
    """The trial that `to_json` wrote."""
    return TrialSpec(
        **{
            **data,
            "stage": Stage(data["stage"]),
            "split": Split(data.get("split", Split.TUNE)),
            "arm": arm_from_json(data["arm"]) if data["arm"] else None,
            "training": Training(**data["training"]),
        }
    )


def trial_result_from_json(data: Mapping[str, Any]) -> TrialResult:
    """The result that `to_json` wrote.

    Raises:
        KeyError, TypeError: the data is not a result of this version.
    """
    return TrialResult(
        spec=trial_spec_from_json(data["spec"]),
        status=Status(data["status"]),
        reason=data["reason"],
        measures=Measures(**data["measures"]) if data["measures"] else None,
        history=tuple(StepLoss(**entry) for entry in data["history"]),
        reports=tuple(Report(**entry) for entry in data["reports"]),
        started=data["started"],
        seconds=data["seconds"],
        provenance=Provenance(**data["provenance"]) if data["provenance"] else None,
    )


def trained_adapter_from_json(data: Mapping[str, Any]) -> TrainedAdapter:
    """The record that `to_json` wrote.

    Raises:
        KeyError, TypeError: the data is not a record of this version.
    """
    return TrainedAdapter(
        **{
            **data,
            "arm": arm_from_json(data["arm"]),
            "training": Training(**data["training"]),
            "provenance": Provenance(**data["provenance"]),
            "history": tuple(StepLoss(**entry) for entry in data["history"]),
            "reports": tuple(Report(**entry) for entry in data["reports"]),
        }
    )
