"""Trains the adapters of trials on the engine, and stores each under its identity."""

from __future__ import annotations

import time
from dataclasses import replace

from sweep.errors import TrialPruned
from sweep.evaluation.aggregate import mean_loss
from sweep.methods import LORA_VARIANTS, title_of
from sweep.records import Report, Split, StepLoss, TrainedAdapter, TrialSpec
from sweep.runner.early_stopping import EarlyStopping
from sweep.runner.running import RunningTrial
from sweep.runner.setup import LoadedSetup
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.outcomes import OutcomeCache
from sweep.training.adapters import module_ranks, weight_bytes
from sweep.training.batches import longest_batch, training_examples
from sweep.training.device_errors import forget_tensors
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, OnStep, TrainedTrial
from sweep.training.probe import training_peak


class AdapterTraining:
    """Begins trainings on a worker's engine, which advances them, and stores what they trained."""

    def __init__(self, loaded: LoadedSetup, adapters: AdapterStore, cache: OutcomeCache) -> None:
        self._loaded = loaded
        self._adapters = adapters
        self._cache = cache

    def begin(self, trial: RunningTrial, spec: TrialSpec) -> None:
        """Begins to train an adapter for a trial.

        Args:
            spec: the trial's own, or that of the arm its adapter is cut from.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        trial.trained_here = True
        trial.stopping = EarlyStopping(spec.training) if spec.training.early_stopping else None
        if not self._loaded.engine.shares_memory:
            trial.peak.start()
        self._loaded.engine.begin(spec, self._loaded.train, self._on_step(trial, spec))

    def _on_step(self, trial: RunningTrial, spec: TrialSpec) -> OnStep:
        base = self._loaded.base

        def on_step(adapted: AdaptedModel, step: StepLoss) -> None:
            trial.history.append(step)
            trial.listener.progress("train", step.step, spec.training.steps, step.loss)
            if step.step == 1 and (base.copies.bytes or self._loaded.engine.shares_memory):
                with trial.timed("probe"):
                    batch = longest_batch(self._ordered(spec), spec.training.batch_size)
                    trial.probed_peak = training_peak(base, adapted, batch)
            if spec.report_every and step.step % spec.report_every == 0 and step.step < spec.training.steps:
                self._report(trial, adapted, step.step)
            if trial.stopping is not None and trial.stopping.is_look(step.step):
                with trial.timed("stopping"):
                    trial.stopping.look(
                        adapted, step.step, lambda: mean_loss(adapted.losses(self._loaded.data.stopping))
                    )

        return on_step

    def _report(self, trial: RunningTrial, adapted: AdaptedModel, step: int) -> None:
        """Reports the loss on a part of tune to the pruner.

        Raises:
            TrialPruned: the pruner stops the trial.
        """
        with trial.timed("report"):
            examples = self._loaded.data.examples(Split.TUNE)[: self._loaded.setup.scoring.report_examples]
            report = Report(step, mean_loss(adapted.losses(examples)))
            trial.reports.append(report)
            prune = trial.listener.report(report.step, report.loss)
        if prune:
            raise TrialPruned(f"trailed {_alike(trial.spec)} at step {report.step} (loss {report.loss:.4f})")

    def store(self, trial: RunningTrial, trained: TrainedTrial) -> TrainedTrial:
        """Stores a freshly trained adapter before anything is evaluated, so that it is never trained again.

        Returns:
            What was trained, with the error that prevented it if there was one.
        """
        spec, adapted = trained.spec, trained.adapted
        if adapted is None or spec.arm is None or not trial.trained_here:
            return trained
        trial.phases["train"] = trained.seconds
        stopping = trial.stopping
        try:
            if stopping is not None:
                stopping.restore(adapted)
            with self._adapters.writing(spec.adapter_id) as scratch:
                with trial.timed("save"):
                    adapted.save(scratch / ADAPTER)
                peak, peak_of = trial.training_peak()
                trial.adapter = TrainedAdapter(
                    identity=spec.adapter_id,
                    arm=spec.arm,
                    training=spec.training,
                    seed=spec.seed,
                    peak_bytes=peak,
                    peak_of=peak_of,
                    parameters=adapted.parameters,
                    bytes=weight_bytes(scratch / ADAPTER),
                    tokens=sum(len(item) for item in self._ordered(spec)[: _rows_of(spec, len(trial.history))]),
                    started=trial.started,
                    seconds=time.perf_counter() - trial.clock,
                    provenance=self._loaded.provenance(),
                    history=tuple(trial.history),
                    reports=tuple(trial.reports),
                    phases=dict(trial.phases),
                    module_ranks=module_ranks(scratch / ADAPTER),
                    looks=tuple(stopping.looks) if stopping else (),
                    kept_step=stopping.kept_step if stopping else None,
                )
                self._cache.forget(spec.adapter_id)
                self._adapters.commit(scratch, trial.adapter)
        except Exception as error:
            forget_tensors(error)
            return replace(trained, error=error)
        return trained

    def _ordered(self, spec: TrialSpec) -> list[Encoded]:
        """The training examples in the order in which the trial uses them."""
        return training_examples(self._loaded.train, spec.training, spec.seed)


def _rows_of(spec: TrialSpec, steps: int) -> int:
    """Number of examples that this many steps train on."""
    return steps * spec.training.batch_size * spec.training.gradient_accumulation


def _alike(spec: TrialSpec) -> str:
    """The arms that the pruner compares a trial with, in words."""
    if spec.arm is None or spec.arm.method in LORA_VARIANTS:
        return f"arms of rank {spec.rank}"
    return f"other trials of {title_of(spec.arm)}" + (f" at rank {spec.rank}" if spec.rank else "")
