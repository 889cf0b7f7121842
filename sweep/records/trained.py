"""A trained or cut adapter in the store: its recipe and what its training measured, before any evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.records.arm import Arm
from sweep.records.training import Training
from sweep.records.trial import Provenance, Report, StepLoss


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """The record beside a trained adapter's weights.

    Attributes:
        identity: hash of everything that determines the weights, see `sweep.store.identity.adapter_identity`.
        history: training loss by step.
        reports: values reported to the pruner.
        phases: seconds by part of the training, for example `train`, `probe`, `save`.
        peak_bytes: peak memory of the training, see `Measures.peak_bytes`.
        peak_of: what that peak covers, see `Measures.peak_of`.
        parameters: number of trained parameters.
        bytes: size of the weights on disk.
        tokens: tokens of all training examples, each counted as often as it was used.
        started: seconds since the epoch, UTC.
        seconds: wall-clock seconds from the start of the trial to the end of its training; of a cut adapter, of the cutting alone.
        module_ranks: see `Measures.module_ranks`.
        looks: with early stopping, the losses on tune that it saw.
        kept_step: with early stopping, see `Measures.kept_step`.
        energy_kept: of a cut adapter, see `Measures.energy_kept`; its other figures of training are those of the adapter it is cut from.
    """

    identity: str
    arm: Arm
    training: Training
    seed: int
    peak_bytes: int
    peak_of: str
    parameters: int
    bytes: int
    tokens: int
    started: float
    seconds: float
    provenance: Provenance
    history: tuple[StepLoss, ...] = ()
    reports: tuple[Report, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)
    energy_kept: float | None = None
    module_ranks: Mapping[str, int] = field(default_factory=dict)
    looks: tuple[Report, ...] = ()
    kept_step: int | None = None
