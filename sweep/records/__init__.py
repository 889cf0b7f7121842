"""The records that are passed between packages: small, frozen, without types of any library.

`StudyPlan` describes a study, `TrialSpec` one trial, `TrialResult` its outcome; `StudyRecord` is what is known of a study.
"""

from sweep.records.arm import Arm, Value
from sweep.records.as_json import (
    arm_from_json,
    declaration_from_json,
    to_json,
    trained_adapter_from_json,
    trial_result_from_json,
    trial_spec_from_json,
)
from sweep.records.base_model import AUTO_COMPUTE, BaseModel, Quantization
from sweep.records.evaluation import EvaluationSettings
from sweep.records.example import ExampleOutcome
from sweep.records.loaded import ArmSize, LoadReport, MeanTokens, SlotCapacity
from sweep.records.plan import CapacityRequest, Declaration, Search, SearchedMethod, SearchSpace, StudyPlan
from sweep.records.rung import LadderArm, Rung, arm_at, rung_words
from sweep.records.study import Certification, RateChoice, StudyRecord
from sweep.records.task_data import TaskData
from sweep.records.trained import TrainedAdapter
from sweep.records.training import Training
from sweep.records.trial import (
    Measures,
    Provenance,
    Report,
    Split,
    Stage,
    Status,
    StepLoss,
    TrialResult,
    TrialSpec,
    examples_of,
    loss_of,
)
from sweep.records.trial_record import CompletedTrial, EvaluatedTrial, TrialRecord
from sweep.records.worker_setup import WorkerSetup

__all__ = [
    "AUTO_COMPUTE",
    "Arm",
    "ArmSize",
    "BaseModel",
    "CapacityRequest",
    "Certification",
    "CompletedTrial",
    "Declaration",
    "EvaluatedTrial",
    "EvaluationSettings",
    "ExampleOutcome",
    "LadderArm",
    "LoadReport",
    "MeanTokens",
    "Measures",
    "Provenance",
    "Quantization",
    "RateChoice",
    "Report",
    "Rung",
    "Search",
    "SearchSpace",
    "SearchedMethod",
    "SlotCapacity",
    "Split",
    "Stage",
    "Status",
    "StepLoss",
    "StudyPlan",
    "StudyRecord",
    "TaskData",
    "TrainedAdapter",
    "Training",
    "TrialRecord",
    "TrialResult",
    "TrialSpec",
    "Value",
    "WorkerSetup",
    "arm_at",
    "arm_from_json",
    "declaration_from_json",
    "examples_of",
    "loss_of",
    "rung_words",
    "to_json",
    "trained_adapter_from_json",
    "trial_result_from_json",
    "trial_spec_from_json",
]
