"""Records as JSON and back: how they cross processes and sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sweep.records.arm import DEFAULT_INIT, Arm
from sweep.records.plan import Declaration, SearchSpace
from sweep.records.rung import LadderArm
from sweep.records.task_data import TaskData
from sweep.records.trained import TrainedAdapter
from sweep.records.training import Training
from sweep.records.trial import Measures, Provenance, Report, Split, Stage, Status, StepLoss, TrialResult, TrialSpec


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain JSON types; enums become their values, tuples become lists.

    Fields that say nothing are left out where records of earlier versions have none: those of LoRA that an arm's method does not
    have, a method's own parameters where there are none, the default initialization, the study's own quantization, patterns and layers
    where there are none, no limit of forgetting, what only a ladder of arms has, and what keeps a model from forgetting where none of it
    is used.
    """
    plain = {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, Arm):
        plain = {name: value for name, value in plain.items() if name not in _absent(record)}
    elif isinstance(record, Training | TaskData | Measures | TrainedAdapter):
        plain = {name: value for name, value in plain.items() if name not in _unused(record)}
    elif isinstance(record, SearchSpace) and not record.own:
        del plain["own"]
    elif isinstance(record, Declaration):
        if record.max_forgetting is None:
            del plain["max_forgetting"]
        if not record.arms:
            del plain["arms"], plain["cost"]
        else:
            plain["ladder"] = [int(rung) for rung in record.ladder]
    return plain


_PATTERNS = ("rank_pattern", "alpha_pattern", "layers")


def _absent(arm: Arm) -> set[str]:
    """The fields that an arm's method does not have."""
    absent = {name for name in ("rank", "alpha_ratio", "targets", "own", *_PATTERNS) if not getattr(arm, name)}
    if arm.init == DEFAULT_INIT:
        absent.add("init")
    if arm.quant is None:
        absent.add("quant")
    if "rank" in absent:
        absent |= {"loraplus_lr_ratio", "cut_from"}
        if not arm.dropout:
            absent.add("dropout")
    return absent


def _unused(record: Training | TaskData | Measures | TrainedAdapter) -> set[str]:
    """The fields of replay, decay and early stopping where they are not used."""
    if isinstance(record, TaskData):
        return {"replay"} if record.replay is None else set()
    if isinstance(record, Training):
        unused = {name for name in ("replay", "decay_to_base", "early_stopping") if not getattr(record, name)}
        return unused if record.early_stopping else {*unused, "patience"}
    return {
        name
        for name in ("looks", "kept_step", "nearest", "shares", "nearest_shares")
        if not getattr(record, name, None)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def arm_from_json(data: Mapping[str, Any]) -> Arm:
    """The arm that `to_json` wrote."""
    fields = {"rank": 0, "alpha_ratio": 0.0, "dropout": 0.0, **data, "targets": tuple(data.get("targets", ()))}
    if "own" in data:
        fields["own"] = tuple((str(name), value) for name, value in data["own"])
    for field in ("rank_pattern", "alpha_pattern"):
        if field in data:
            fields[field] = tuple((str(pattern), value) for pattern, value in data[field])
    if "layers" in data:
        fields["layers"] = tuple(data["layers"])
    return Arm(**fields)


def declaration_from_json(data: Mapping[str, Any]) -> Declaration:
    """The declaration that `to_json` wrote."""
    declared = Declaration(**{**data, "ladder": tuple(data["ladder"]), "arms": ()})
    arms = data.get("arms", ())
    return declared.with_arms([_ladder_arm(each) for each in arms]) if arms else declared


def _ladder_arm(data: Mapping[str, Any]) -> LadderArm:
    lowest, highest = data["rates"]
    return LadderArm(**{**data, "arm": arm_from_json(data["arm"]), "rates": (lowest, highest)})


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
        measures=_measures(data["measures"]) if data["measures"] else None,
        history=tuple(StepLoss(**entry) for entry in data["history"]),
        reports=tuple(Report(**entry) for entry in data["reports"]),
        started=data["started"],
        seconds=data["seconds"],
        provenance=Provenance(**data["provenance"]) if data["provenance"] else None,
    )


def _measures(data: Mapping[str, Any]) -> Measures:
    rises = tuple((nats, tokens) for nats, tokens in data.get("prose_rises", ()))
    listed = {name: tuple(data.get(name, ())) for name in ("general_right", "shares", "nearest_shares")}
    return Measures(**{**data, **listed, "prose_rises": rises})


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
            "looks": tuple(Report(**entry) for entry in data.get("looks", ())),
        }
    )
