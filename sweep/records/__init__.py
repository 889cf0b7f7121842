"""The records that go from room to room: small, frozen, and free of any library's types.

`StudyPlan` says what a study is, `TrialSpec` what one trial is, `TrialResult` what came of it.
"""

from sweep.records.as_json import (
    arm_from_json,
    to_json,
    trained_adapter_from_json,
    trial_result_from_json,
    trial_spec_from_json,
)
from sweep.records.certification import Certification, RateChoice, ScoredTrial, TrialRecord
from sweep.records.loaded import Loaded, Room
from sweep.records.plan import Declaration, Packing, Search, SearchSpace, StudyPlan
from sweep.records.recipe import (
    METHODS,
    TWO_RATES,
    Arm,
    BaseModel,
    Foundation,
    Quantization,
    Scoring,
    TaskData,
    Training,
)
from sweep.records.study import StudyRecord
from sweep.records.trained import TrainedAdapter
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

__all__ = [
    "METHODS",
    "TWO_RATES",
    "Arm",
    "BaseModel",
    "Certification",
    "Declaration",
    "Foundation",
    "Loaded",
    "Measures",
    "Packing",
    "Provenance",
    "Quantization",
    "RateChoice",
    "Report",
    "Room",
    "ScoredTrial",
    "Scoring",
    "Search",
    "SearchSpace",
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
    "arm_from_json",
    "examples_of",
    "loss_of",
    "to_json",
    "trained_adapter_from_json",
    "trial_result_from_json",
    "trial_spec_from_json",
]
