"""Adapters that are cut from trained ones: made from the parent in the store, and stored beside it."""

from __future__ import annotations

import time
from dataclasses import replace

from sweep.errors import TrialDiverged, TrialFailed
from sweep.records import TrainedAdapter, TrialSpec
from sweep.runner.running import RunningTrial
from sweep.runner.setup import LoadedSetup
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.identity import adapter_identity
from sweep.store.outcomes import OutcomeCache
from sweep.training.adapters import module_ranks, weight_bytes
from sweep.training.cut import cut_adapter


class ParentUnusable(Exception):
    """The adapter that another is cut from cannot be used, although its files are as they were stored."""


class Cutter:
    """Cuts adapters that are in the store."""

    def __init__(self, loaded: LoadedSetup, adapters: AdapterStore, cache: OutcomeCache) -> None:
        self._loaded = loaded
        self._adapters = adapters
        self._cache = cache

    def parent_of(self, spec: TrialSpec) -> TrialSpec:
        """The trial as one that trains the arm from which its adapter is cut, with the identity of that arm's adapter."""
        if spec.arm is None:
            raise ValueError("the unadapted base has no adapter to cut")
        arm, description = spec.arm.parent, self._loaded.description
        identity = adapter_identity(
            self._loaded.setup,
            description.base_hash,
            description.weights_hash(spec.training),
            arm,
            spec.training,
            spec.seed,
        )
        return replace(spec, arm=arm, adapter=identity, report_every=0)

    def cut(self, trial: RunningTrial) -> TrainedAdapter:
        """Cuts and stores the trial's adapter; its training figures are its parent's.

        Raises:
            ParentUnusable: the parent has to be trained again.
            TrialDiverged: the parent's weights are not finite.
        """
        spec, parent = trial.spec, trial.parent
        if spec.arm is None or parent is None:
            raise ValueError(f"{spec.name} has no adapter to cut")
        with self._adapters.writing(spec.adapter_id) as scratch:
            try:
                with trial.timed("cut"):
                    cut = cut_adapter(self._adapters.folder(parent.identity), scratch / ADAPTER, spec.arm)
            except TrialDiverged:
                raise
            except TrialFailed as error:
                raise ParentUnusable(str(error)) from error
            record = replace(
                parent,
                identity=spec.adapter_id,
                arm=spec.arm,
                parameters=cut.parameters,
                bytes=weight_bytes(scratch / ADAPTER),
                started=trial.started,
                seconds=time.perf_counter() - trial.clock,
                provenance=self._loaded.provenance(),
                phases={**parent.phases, "cut": trial.phases["cut"]},
                energy_kept=cut.energy_kept,
                module_ranks=module_ranks(scratch / ADAPTER),
            )
            self._cache.forget(spec.adapter_id)
            self._adapters.commit(scratch, record)
        return record
