"""One worker's work: a foundation loaded once, then trial after trial on it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from sweep.errors import ConfigurationError, TrialDiverged, TrialEnded, TrialInfeasible, TrialPruned
from sweep.evaluation.answers import Answers
from sweep.evaluation.forgetting import GeneralProse
from sweep.evaluation.scores import mean_loss, write_scores
from sweep.records import (
    CapacityRequest,
    Loaded,
    Measures,
    Provenance,
    Report,
    SlotCapacity,
    Status,
    StepLoss,
    TrainedAdapter,
    TrialResult,
    TrialSpec,
    WorkerSetup,
    to_json,
)
from sweep.store.adapters import ADAPTER
from sweep.store.paths import Paths
from sweep.store.scores import ScoreStore
from sweep.store.trials import CONFIG, SCORES, TrialStore
from sweep.training import memory
from sweep.training.adapters import weight_bytes
from sweep.training.base_model import load_base, open_base
from sweep.training.batches import longest_batch, training_examples
from sweep.training.encoding import Encoded, Encoder
from sweep.training.engine import Adapted, OnStep, PackBroke, Trained, open_engine
from sweep.training.machine import device_name, versions
from sweep.training.memory import training_peak
from sweep.training.splits import load_splits
from sweep.workers.course import Listener, RunningTrial
from sweep.workers.expected import Expected
from sweep.workers.held_out import HeldOut
from sweep.workers.measures import measures_of
from sweep.workers.messages import Progress
from sweep.workers.scorer import Scored, Scorer

_SAMPLE = 3
"""So many training examples are passed through packed and plain, to see whether a model can be packed."""


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """A trial that ended.

    Attributes:
        worker_is_sound: whether the process can go on: its base and memory are as before. A loss that is not finite is a result;
            memory that ran out, or an unexpected error, may leave anything behind.
    """

    result: TrialResult
    worker_is_sound: bool


class Job:
    """A base model and a task's data, loaded; runs trials on them, side by side where the engine can.

    Args:
        packing: asks how many trials can be trained side by side, see `Loaded.capacity`; None asks nothing.
        expected: what base and data must be; None expects nothing.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the foundation cannot be loaded, or is not what was expected.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        paths: Paths,
        capacity_request: CapacityRequest | None = None,
        expected: Expected | None = None,
    ) -> None:
        self._setup = setup
        self._store = TrialStore(paths)
        splits = load_splits(setup.task, paths)
        expected = expected or Expected()
        expected.check_data(splits.data_hash)
        # the weights come last: examples that do not fit are said before they are loaded
        opened = open_base(setup.model, paths)
        encoder = Encoder(opened.tokenizer, setup.task.system_prompt)
        longest = min(setup.task.max_length, opened.context)
        self._train = encoder.encode_split(splits.train, longest)
        tune = encoder.encode_split(splits.tune, longest)
        held_out = HeldOut(splits, encoder, longest, setup.scoring)
        examples = {"train": len(self._train.examples), "tune": len(tune.examples), **held_out.fitting}
        expected.check_examples(examples, longest)
        self._base = load_base(setup.model, setup.quant, paths, setup.memory_budget, opened)
        expected.check_base(self._base.hash)
        self._tune = tune.examples[: setup.scoring.examples]
        self._answers = Answers(setup.task.metric, setup.scoring, self._train.examples)
        self._prose = GeneralProse(encoder, setup.scoring.general_paragraphs, longest)
        self._engine, note = open_engine(setup.engine, self._base, self._train.examples[:_SAMPLE])
        self._scores = ScoreStore(paths)
        self._scorer = Scorer(
            self._base,
            self._engine,
            setup.task.metric,
            self._tune,
            held_out,
            self._answers,
            self._prose,
            self._scores,
        )
        self._courses: dict[str, RunningTrial] = {}
        self._untrained: list[TrialSpec] = []
        self._broken_at_once: list[Trained] = []
        self.loaded = Loaded(
            source=self._base.source,
            base_hash=self._base.hash,
            base_bytes=self._base.bytes,
            resident_bytes=self._base.resident,
            linear_modules=self._base.linear_modules,
            context=self._base.context,
            parameters=self._base.parameters,
            load_seconds=self._base.load_seconds,
            device=device_name(self._base.device),
            data_hash=splits.data_hash,
            train_hash=splits.train_hash,
            too_long={"train": self._train.too_long, "tune": tune.too_long, **held_out.too_long},
            examples=examples,
            note="; ".join(filter(None, (self._base.note, note))) or None,
            capacity=None if capacity_request is None else self._room(capacity_request),
        )
        if setup.memory_budget is not None:
            memory.limit_memory(setup.memory_budget, self._base.device)

    def _room(self, capacity_request: CapacityRequest) -> SlotCapacity:
        scored = [(self._tune, self._answers.rule(self._tune)), (self._prose.paragraphs, None)]
        return self._engine.capacity(capacity_request, self._setup.memory_budget, self._train.examples, scored)

    @property
    def idle(self) -> bool:
        """Whether there is no trial to go on with."""
        return not self._courses

    def begin(self, spec: TrialSpec, listener: Listener) -> None:
        """Takes a trial on. Its adapter is trained unless it is there; what breaks here ends the trial, in `advance`.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        course = self._courses[spec.identity] = RunningTrial(spec, listener, memory.PeakMemory(self._base.device))
        try:
            self._scorer.general_loss_of_base()
            if spec.arm is not None:
                course.trained = self._store.adapters.find(spec.adapter_id)
            if spec.arm is None or course.trained is not None:
                self._untrained.append(spec)
            else:
                self._train_anew(course)
        except ConfigurationError:
            raise
        except Exception as error:
            self._blame_nobody(error, course)
            self._broken_at_once.append(Trained(spec, None, error, 0.0))

    def advance(self) -> list[EndedTrial]:
        """Goes on for a bit; returns the trials that ended. A complete one is in the store by then.

        Raises:
            ConfigurationError: a target module does not exist.
            PackBroke: see `Engine.advance`; the trials that have not ended are lost to this job.
        """
        untrained, self._untrained = self._untrained, []
        broken, self._broken_at_once = self._broken_at_once, []
        # one after the other: an engine may have room for one adapter on the base
        scored = [ended for spec in untrained for ended in self._conclude(self._untouched(spec))]
        return self._conclude(broken) + scored + self._conclude(self._engine.advance())

    def _untouched(self, spec: TrialSpec) -> list[Trained]:
        """A trial in which nothing is trained, as if it had been; none if its adapter cannot be loaded and is trained anew."""
        if spec.arm is None:
            return [Trained(spec, self._engine.bare(), None, 0.0)]
        course = self._courses[spec.identity]
        try:
            return [Trained(spec, self._engine.load(self._store.adapters.folder(spec.adapter_id)), None, 0.0)]
        except Exception as error:
            if memory.is_out_of_memory(error):
                self._blame_nobody(error, course)
                return [Trained(spec, None, error, 0.0)]
            self._store.adapters.reject(spec.adapter_id, f"{type(error).__name__}: {_first_line(error)}")
            course.trained = None
            self._train_anew(course)
            return []

    def _train_anew(self, course: RunningTrial) -> None:
        course.trained_here = True
        if not self._engine.shares_memory:
            course.peak.start()
        self._engine.begin(course.spec, self._train.examples, self._on_step(course))

    def _blame_nobody(self, error: Exception, course: RunningTrial) -> None:
        """Memory that runs out beside others in training may do for this trial alone.

        Raises:
            PackBroke: it did run out, and other trials are in training.
        """
        if memory.is_out_of_memory(error) and len(self._courses) > 1:
            raise PackBroke(f"{course.spec.name}: {type(error).__name__}: {_first_line(error)}") from error

    def run(self, spec: TrialSpec, listener: Listener) -> TrialResult:
        """Runs one trial to its end, whichever that is."""
        self.begin(spec, listener)
        while True:
            for ended in self.advance():
                return ended.result

    def _conclude(self, trained: Sequence[Trained]) -> list[EndedTrial]:
        """Keeps the adapters that were trained, scores them in shared passes, and puts the trials into the store."""
        kept = [self._kept(each) for each in trained]
        scored = self._scorer.scored([each for each in kept if each.error is None], self._courses)
        return [self._ended(each, each.error or scored[each.spec.identity]) for each in kept]

    def _kept(self, trained: Trained) -> Trained:
        """Puts a freshly trained adapter into the store: from here on it is never trained again."""
        course, adapted = self._courses[trained.spec.identity], trained.adapted
        if trained.error is not None or adapted is None or not course.trained_here:
            return trained
        spec = trained.spec
        assert spec.arm is not None
        course.phases["train"] = trained.seconds
        try:
            with self._store.adapters.writing(spec.adapter_id) as scratch:
                with course.timed("save"):
                    adapted.save(scratch / ADAPTER)
                peak, peak_of = course.trained_peak()
                course.trained = TrainedAdapter(
                    identity=spec.adapter_id,
                    arm=spec.arm,
                    training=spec.training,
                    seed=spec.seed,
                    peak_bytes=peak,
                    peak_of=peak_of,
                    parameters=adapted.parameters,
                    bytes=weight_bytes(scratch / ADAPTER),
                    tokens=sum(len(item) for item in self._ordered(spec)),
                    started=course.started,
                    seconds=time.perf_counter() - course.clock,
                    provenance=self._provenance(),
                    history=tuple(course.history),
                    reports=tuple(course.reports),
                    phases=dict(course.phases),
                )
                self._scores.forget(spec.adapter_id)
                self._store.adapters.commit(scratch, course.trained)
        except Exception as error:
            return replace(trained, error=error)
        return trained

    def _ended(self, trained: Trained, scored: Scored | Exception) -> EndedTrial:
        course = self._courses[trained.spec.identity]
        sound = False
        try:
            if isinstance(scored, Exception):
                raise scored
            assert trained.adapted is not None
            with self._store.writing(trained.spec.identity) as scratch:
                result = course.result(
                    Status.COMPLETE, None, self._written(trained.adapted, scored, scratch, course), self._provenance()
                )
                self._store.commit(scratch, result)
                return EndedTrial(result, worker_is_sound=True)
        except TrialPruned as error:
            status, reason, sound = Status.PRUNED, str(error), True
        except TrialInfeasible as error:
            status, reason = Status.INFEASIBLE, str(error)
        except TrialEnded as error:
            status, reason, sound = Status.FAILED, str(error), isinstance(error, TrialDiverged)
        except ConfigurationError:
            raise
        except Exception as error:
            traceback.print_exception(error)
            self._blame_nobody(error, course)
            if memory.is_out_of_memory(error):
                status, reason = Status.INFEASIBLE, f"out of memory: {_first_line(error)}"
            else:
                status, reason = Status.FAILED, f"{type(error).__name__}: {_first_line(error)}"
        finally:
            if trained.adapted is not None:
                trained.adapted.release()
            del self._courses[trained.spec.identity]
        return EndedTrial(course.result(status, reason, None, self._provenance()), worker_is_sound=sound)

    def _written(self, adapted: Adapted, scored: Scored, scratch: Path, course: RunningTrial) -> Measures:
        """Writes a trial's files; returns its figures."""
        write_scores(scored.outcome.scores, scratch / SCORES)
        (scratch / CONFIG).write_text(
            yaml.safe_dump({"trial": to_json(course.spec), "foundation": to_json(self._setup)})
        )
        return measures_of(
            course,
            scored,
            self._base,
            parameters=adapted.parameters,
            adapter_bytes=course.trained.bytes if course.trained else 0,
            general_before=self._scorer.general_loss_of_base(),
        )

    def _on_step(self, course: RunningTrial) -> OnStep:
        spec = course.spec

        def on_step(adapted: Adapted, step: StepLoss) -> None:
            course.history.append(step)
            course.listener.progress(Progress(spec.identity, "train", step.step, spec.training.steps, step.loss))
            if step.step == 1 and (self._base.copies.bytes or self._engine.shares_memory):
                with course.timed("probe"):
                    longest = longest_batch(self._ordered(spec), spec.training.batch_size)
                    course.probed_peak = training_peak(self._base, adapted, longest)
            if spec.report_every and step.step % spec.report_every == 0 and step.step < spec.training.steps:
                with course.timed("report"):
                    some = self._tune[: self._setup.scoring.report_examples]
                    report = Report(step.step, mean_loss(adapted.losses(some)))
                    course.reports.append(report)
                    prune = course.listener.report(report.step, report.loss)
                if prune:
                    raise TrialPruned(
                        f"trailed arms of rank {spec.rank} at step {report.step} (loss {report.loss:.4f})"
                    )

        return on_step

    def _ordered(self, spec: TrialSpec) -> list[Encoded]:
        """The training examples in the order in which the trial uses them."""
        return training_examples(self._train.examples, spec.training, spec.seed)

    def _provenance(self) -> Provenance:
        return Provenance(
            versions=versions(),
            device=self.loaded.device,
            base_source=self.loaded.source,
            base_hash=self.loaded.base_hash,
            data_hash=self.loaded.data_hash,
            threads=self._setup.threads,
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no text"
