"""Runs trials on a loaded setup: trains adapters, stores them, evaluates them, and stores the trials."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.memory_advice import memory_advice
from sweep.console.system_errors import lack_of_machine
from sweep.errors import ConfigurationError, TrialDiverged, TrialEnded, TrialInfeasible, TrialPruned
from sweep.evaluation.evaluator import Evaluation, EvaluationRequest, Evaluator
from sweep.records import Status, TrialResult, TrialSpec
from sweep.runner.adapter_training import AdapterTraining
from sweep.runner.cutting import Cutter, ParentUnusable
from sweep.runner.running import Listener, RunningTrial, measures_of
from sweep.runner.setup import LoadedSetup
from sweep.runner.waiting import WaitingTrials
from sweep.store.outcomes import OutcomeCache
from sweep.store.trials import TrialStore
from sweep.training import memory
from sweep.training.device_errors import forget_tensors, is_device_failure, is_out_of_memory
from sweep.training.engine import AdaptedModel, PackBroke, TrainedTrial


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """A trial that ended.

    Attributes:
        worker_is_sound: whether the process can run further trials. A loss that is not finite is a result like any other; after
            an out-of-memory or unexpected error, base and memory cannot be trusted.
    """

    result: TrialResult
    worker_is_sound: bool


class TrialRunner:
    """Runs trials, side by side where the engine can."""

    def __init__(self, loaded: LoadedSetup) -> None:
        self._loaded = loaded
        self._engine = loaded.engine
        self._store = TrialStore(loaded.paths)
        self._cache = OutcomeCache(loaded.paths)
        self._evaluator = Evaluator(loaded.base, loaded.engine, loaded.setup.task.metric, loaded.data, self._cache)
        self._training = AdapterTraining(loaded, self._store.adapters, self._cache)
        self._cutter = Cutter(loaded, self._store.adapters, self._cache)
        self._running: dict[str, RunningTrial] = {}
        self._without_training: list[RunningTrial] = []
        self._to_cut: list[RunningTrial] = []
        self._in_training: dict[str, list[RunningTrial]] = {}
        self._waiting = WaitingTrials()
        self._failed_to_begin: list[TrainedTrial] = []

    @property
    def idle(self) -> bool:
        """Whether no trial is running."""
        return not self._running

    def run(self, spec: TrialSpec, listener: Listener) -> TrialResult:
        """Runs one trial to its end."""
        self.begin(spec, listener)
        while True:
            for ended in self.advance():
                return ended.result

    def begin(self, spec: TrialSpec, listener: Listener) -> None:
        """Begins a trial. Its adapter is trained or cut unless the store has it; an error here ends the trial in `advance`.

        Raises:
            ConfigurationError: a target module does not exist.
            PackBroke: memory ran out beside other trials.
            RuntimeError: the device failed, see `sweep.training.device_errors.is_device_failure`.
            ValueError: the trial's arm is for a base with another quantization.
        """
        own, loaded = spec.arm.quant if spec.arm else None, self._loaded.setup.quant.name
        if own not in (None, loaded):
            raise ValueError(f"{spec.name} is for a base with quant={own}, this one has quant={loaded}")
        trial = self._running[spec.identity] = RunningTrial(spec, listener, memory.PeakMemory(self._loaded.base.device))
        self._begin(trial)

    def advance(self) -> list[EndedTrial]:
        """Runs the trials a bit further; returns those that ended. A complete one is in the store by then.

        Raises:
            ConfigurationError: a target module does not exist.
            EnvironmentLacks: the disk is full, or the system forbids what a trial needs; the trials that have not ended are lost.
            PackBroke, RuntimeError: see `Engine.advance`; likewise.
        """
        for trial in self._waiting.take(nothing_else=len(self._waiting) == len(self._running)):
            self._begin(trial)
        failed, self._failed_to_begin = self._failed_to_begin, []
        ended = self._finish([*failed, *self._cut()])
        without_training, self._without_training = self._without_training, []
        # a peak that is measured in evaluation is that of one trial, and an engine may hold only one adapter on the base
        shared = [trial for trial in without_training if trial.training and self._is_shared(trial)]
        ended += self._finish([loaded for trial in shared for loaded in self._loaded_adapter(trial)])
        for trial in without_training:
            if trial not in shared:
                ended += self._finish(self._loaded_adapter(trial))
        return ended + self._finish(self._engine.advance())

    def _is_shared(self, trial: RunningTrial) -> bool:
        """Whether the trial's adapter can be loaded beside others."""
        return self._engine.for_arm(trial.spec.arm).shares_memory

    def _begin(self, trial: RunningTrial) -> None:
        try:
            self._evaluator.base_prose()
            self._obtain_adapter(trial)
        except ConfigurationError:
            raise
        except Exception as error:
            self._failed_to_begin.append(self._failed(trial, error))

    def _obtain_adapter(self, trial: RunningTrial) -> None:
        """Queues the trial for evaluation if its adapter is in the store, else trains it, or has it cut once its parent is there."""
        spec, adapters = trial.spec, self._store.adapters
        if spec.arm is not None:
            trial.adapter = adapters.find(spec.adapter_id)
        if spec.arm is None or trial.adapter is not None:
            self._without_training.append(trial)
        elif spec.arm.cut_from is None:
            self._train(trial, spec)
        else:
            parent = self._cutter.parent_of(spec)
            trial.parent = adapters.find(parent.adapter_id)
            if trial.parent is not None:
                self._to_cut.append(trial)
            elif parent.adapter_id in self._in_training:
                self._in_training[parent.adapter_id].append(trial)
            else:
                self._train(trial, parent)

    def _cut(self) -> list[TrainedTrial]:
        """Cuts the adapters of all trials whose parents are in the store; returns the trials that failed."""
        trials, self._to_cut = self._to_cut, []
        failed: list[TrainedTrial] = []
        for trial in trials:
            trial.restart()
            try:
                trial.adapter = self._cutter.cut(trial)
            except Exception as error:
                failed += self._cut_failed(trial, error)
            else:
                trial.phases, trial.clock = {}, time.perf_counter()  # they are in the adapter's record
                self._without_training.append(trial)
        return failed

    def _cut_failed(self, trial: RunningTrial, error: Exception) -> list[TrainedTrial]:
        """The trial as failed; empty if its parent is unusable and trained again."""
        if isinstance(error, ParentUnusable) and trial.parent is not None and not trial.made_again:
            trial.made_again = True
            trial.restart()
            if trial.parent.identity not in self._in_training:  # again, for another of its cuts
                self._store.adapters.reject(trial.parent.identity, _first_line(error))
            self._obtain_adapter(trial)
            return []
        return [self._failed(trial, error)]

    def _failed(self, trial: RunningTrial, error: Exception) -> TrainedTrial:
        self._raise_unless_own(error, trial)
        forget_tensors(error)
        return TrainedTrial(trial.spec, None, error, 0.0)

    def _loaded_adapter(self, trial: RunningTrial) -> list[TrainedTrial]:
        """A trial whose adapter was found (or the base), as if trained; empty if the adapter is unusable and made again."""
        spec = trial.spec
        if spec.arm is None:
            return [TrainedTrial(spec, self._engine.bare(), None, 0.0)]
        try:
            folder = self._store.adapters.folder(spec.adapter_id)
            return [TrainedTrial(spec, self._engine.for_arm(spec.arm).load(folder), None, 0.0)]
        except Exception as error:
            if trial.made_again or is_out_of_memory(error) or is_device_failure(error):
                return [self._failed(trial, error)]
            trial.made_again = True
            self._store.adapters.reject(spec.adapter_id, f"{type(error).__name__}: {_first_line(error)}")
            self._obtain_adapter(trial)
            return []

    def _train(self, trial: RunningTrial, spec: TrialSpec) -> None:
        """Trains an adapter for the trial, unless another trial does, here or in another process: then the trial waits for it."""
        adapters = self._store.adapters
        taken = spec.adapter_id in self._in_training or not adapters.claim(spec.adapter_id)
        if taken and self._waiting.add(trial, spec):
            return
        try:
            if not taken and adapters.find(spec.adapter_id) is not None:  # stored just before the claim was free
                adapters.release(spec.adapter_id)
                self._obtain_adapter(trial)
                return
            self._training.begin(trial, spec)
        except Exception:
            adapters.release(spec.adapter_id)
            raise
        self._in_training.setdefault(spec.adapter_id, [])

    def _finish(self, trained: Sequence[TrainedTrial]) -> list[EndedTrial]:
        """Stores the adapters that were trained, evaluates them in shared passes, and stores the trials; parents wait to be cut."""
        stored = [self._training.store(self._running[each.spec.identity], each) for each in trained]
        for each in trained:
            if self._running[each.spec.identity].trained_here:
                self._store.adapters.release(each.spec.adapter_id)
        stored = [each for each in stored if not self._is_cut_next(each)]
        requests = [self._request(each.spec, each.adapted) for each in stored if not each.error and each.adapted]
        outcomes: dict[str, Evaluation | Exception] = {each.spec.identity: each.error for each in stored if each.error}
        for request, evaluation in zip(requests, self._evaluator.evaluate(requests), strict=True):
            outcomes[request.spec.identity] = evaluation
        ended = []
        for each in stored:
            try:
                ended.append(self._ended(self._running[each.spec.identity], outcomes[each.spec.identity]))
            finally:
                if each.adapted is not None:
                    each.adapted.release()
                del self._running[each.spec.identity]
        return ended

    def _is_cut_next(self, trained: TrainedTrial) -> bool:
        """Whether what was trained is the adapter that the trial's is cut from. Trials that wait for it go on, or fail with it."""
        spec, trial = trained.spec, self._running[trained.spec.identity]
        if not trial.trained_here:
            return False
        for waiting in self._in_training.pop(spec.adapter_id, []):
            if trained.error is None:
                waiting.parent = trial.adapter
                self._to_cut.append(waiting)
            elif isinstance(trained.error, TrialPruned):
                self._obtain_adapter(waiting)
            else:
                self._failed_to_begin.append(TrainedTrial(waiting.spec, None, trained.error, 0.0))
        if trained.error is not None or spec.adapter_id == trial.spec.adapter_id:
            return False
        if trained.adapted is not None:
            trained.adapted.release()
        trial.parent, trial.trained_here = trial.adapter, False
        self._to_cut.append(trial)
        return True

    def _request(self, spec: TrialSpec, adapted: AdaptedModel) -> EvaluationRequest:
        trial = self._running[spec.identity]
        training_peak = (trial.training.peak_bytes, trial.training.peak_of) if trial.training else None
        return EvaluationRequest(spec, adapted, trial.listener.progress, training_peak)

    def _ended(self, trial: RunningTrial, outcome: Evaluation | Exception) -> EndedTrial:
        """The end of a trial: complete and in the store, or by an error."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            return EndedTrial(self._complete(trial, outcome), worker_is_sound=True)
        except ConfigurationError:
            raise
        except Exception as error:
            return self._ended_early(trial, error)

    def _complete(self, trial: RunningTrial, evaluation: Evaluation) -> TrialResult:
        """Stores a complete trial; returns its record."""
        measures = measures_of(trial, evaluation, self._loaded.base)
        result = trial.result(Status.COMPLETE, None, measures, self._loaded.provenance())
        self._store.save(result, self._loaded.setup, evaluation.examples, evaluation.outcomes)
        return result

    def _ended_early(self, trial: RunningTrial, error: Exception) -> EndedTrial:
        """The end of a trial that an error ended.

        Raises:
            PackBroke, EnvironmentLacks, RuntimeError: the trial is not to blame.
        """
        reason, sound = str(error), False
        match error:
            case TrialPruned():
                status, sound = Status.PRUNED, True
            case TrialInfeasible():
                status = Status.INFEASIBLE
            case TrialEnded():
                status, sound = Status.FAILED, isinstance(error, TrialDiverged)
            case _:
                self._raise_unless_own(error, trial)
                traceback.print_exception(error)
                if is_out_of_memory(error):
                    status = Status.INFEASIBLE
                    reason = f"out of memory: {_first_line(error)}; these take less: {self._memory_advice(trial)}"
                else:
                    status, reason = Status.FAILED, f"{type(error).__name__}: {_first_line(error)}"
        return EndedTrial(trial.result(status, reason, None, self._loaded.provenance()), worker_is_sound=sound)

    def _memory_advice(self, trial: RunningTrial) -> str:
        training = trial.spec.training
        checkpointing = training.uses_checkpointing(auto=self._engine.auto_checkpointing)
        return memory_advice(self._loaded.setup, training, checkpointing=checkpointing)

    def _raise_unless_own(self, error: Exception, trial: RunningTrial) -> None:
        """Raises errors for which the trial is not to blame: memory that runs out beside others may suffice for it alone.

        Raises:
            PackBroke: memory ran out, and other trials are running.
            EnvironmentLacks: the disk is full, or the system forbids what a trial needs.
            RuntimeError: the device failed; every trial of this process would report the same.
        """
        if is_device_failure(error):
            raise error
        if is_out_of_memory(error):
            if len(self._running) > 1:
                raise PackBroke(f"{trial.spec.name}: {type(error).__name__}: {_first_line(error)}") from error
        elif lack := lack_of_machine(error):
            raise lack from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no text"
