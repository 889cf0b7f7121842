"""Adapters that are cut from trained ones: made from the parent in the store, and stored beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from sweep.errors import TrialDiverged, TrialFailed
from sweep.records import TrainedAdapter, TrialSpec
from sweep.runner.running import RunningTrial
from sweep.runner.setup import LoadedSetup
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.identity import adapter_identity
from sweep.store.outcomes import OutcomeCache
from sweep.training.adapters import weight_bytes
from sweep.training.cut import cut_adapter, down_matrices
from sweep.training.input_grams import Downs, Grams, calibration_examples, input_grams

_PARENTS = 8
"""Parents whose modules' inputs are remembered, for cuts that are asked for later."""


class ParentUnusable(Exception):
    """The adapter that another is cut from cannot be used, although its files are as they were stored."""


class Cutter:
    """Cuts adapters that are in the store.

    Args:
        loaded: its base must have no adapter attached while adapters are cut.
    """

    def __init__(self, loaded: LoadedSetup, adapters: AdapterStore, cache: OutcomeCache) -> None:
        self._loaded = loaded
        self._adapters = adapters
        self._cache = cache
        self._grams: dict[tuple[str, float], Grams] = {}

    def parent_of(self, spec: TrialSpec) -> TrialSpec:
        """The trial as one that trains the arm from which its adapter is cut, with the identity of that arm's adapter."""
        if spec.arm is None:
            raise ValueError("the unadapted base has no adapter to cut")
        arm, description = spec.arm.parent, self._loaded.description
        identity = adapter_identity(
            self._loaded.setup, description.base_hash, description.train_hash, arm, spec.training, spec.seed
        )
        return replace(spec, arm=arm, adapter=identity, report_every=0)

    def see_inputs(self, trials: Sequence[RunningTrial]) -> None:
        """Passes the calibration examples through the base once, for all parents of these trials that are not known yet.

        The pass also serves the parents of neighbouring seeds, as far as they are in the store: their cuts come next.
        """
        unseen = [trial for trial in trials if trial.parent is not None and _key(trial.parent) not in self._grams]
        own = [trial.parent for trial in unseen if trial.parent is not None]
        others = [parent for trial in unseen for parent in self._parents_of_other_seeds(trial.spec)]
        downs: dict[tuple[str, float], Downs] = {}
        for parent in (*own, *others):
            if len(downs) < max(_PARENTS, len(own)) and _key(parent) not in self._grams:
                with suppress(TrialFailed):  # `cut` says so
                    downs[_key(parent)] = down_matrices(self._adapters.folder(parent.identity))
        if not downs:
            return
        examples = calibration_examples(self._loaded.train)
        grams = input_grams(self._loaded.base, list(downs.values()), examples)
        self._grams |= dict(zip(downs, grams, strict=True))
        for key in list(self._grams)[: max(0, len(self._grams) - max(_PARENTS, len(downs)))]:
            del self._grams[key]

    def _parents_of_other_seeds(self, spec: TrialSpec) -> Iterator[TrainedAdapter]:
        for distance in range(1, _PARENTS):
            for seed in (spec.seed + distance, spec.seed - distance):
                parent = self._adapters.find(self.parent_of(replace(spec, seed=seed)).adapter_id)
                if parent is not None:
                    yield parent

    def cut(self, trial: RunningTrial) -> TrainedAdapter:
        """Cuts and stores the trial's adapter, after `see_inputs`; its training figures are its parent's.

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
                    grams = self._grams[_key(parent)]
                    cut = cut_adapter(self._adapters.folder(parent.identity), scratch / ADAPTER, spec.arm, grams)
            except TrialDiverged:
                raise
            except (KeyError, TrialFailed) as error:
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
            )
            self._cache.forget(spec.adapter_id)
            self._adapters.commit(scratch, record)
        return record


def _key(parent: TrainedAdapter) -> tuple[str, float]:
    """What tells a parent from one that was trained again in its place."""
    return parent.identity, parent.started
