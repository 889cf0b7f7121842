"""The size of an arm's adapter, found by making one without training it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sweep.errors import ConfigurationError
from sweep.methods import TrainingFacts, method_of
from sweep.records import Arm, ArmSize, Training
from sweep.training.adapters import attach, detach, save_adapter, trainable_parameters, weight_bytes
from sweep.training.base_model import LoadedBase


def adapter_sizes(base: LoadedBase, arms: Iterable[Arm], training: Training) -> Iterator[ArmSize]:
    """The size of each arm's adapter, in their order; of an arm that does not fit the base, why."""
    for arm in arms:
        try:
            yield _full(base) if method_of(arm).trains_base else _made(base, arm, training)
        except ConfigurationError as error:
            yield ArmSize(problem="; ".join(error.problems))


def _full(base: LoadedBase) -> ArmSize:
    """All weights as they are without quantization, without the file's header of a few kilobytes."""
    weights = list(base.model.parameters())
    if all(weight.is_floating_point() for weight in weights):
        return ArmSize(sum(weight.numel() * weight.element_size() for weight in weights), base.parameters)
    plain = max(weight.element_size() for weight in weights if weight.is_floating_point())
    return ArmSize(base.parameters * plain, base.parameters)


def _made(base: LoadedBase, arm: Arm, training: Training) -> ArmSize:
    adapted = attach(base.model, arm, seed=0, facts=TrainingFacts(training.steps))
    try:
        with tempfile.TemporaryDirectory(prefix="goldilocks-size-") as folder:
            save_adapter(adapted, Path(folder), base.id)
            return ArmSize(weight_bytes(Path(folder)), trainable_parameters(adapted))
    finally:
        detach(adapted)
