"""One worker's work: a foundation loaded once, then trial after trial on it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sweep.data import load_splits
from sweep.errors import ConfigurationError, DataError, TrialEnded, TrialInfeasible, TrialPruned
from sweep.evaluation.forgetting import GeneralProse
from sweep.evaluation.scores import evaluate, mean_loss, write_scores
from sweep.paths import Paths
from sweep.records import (
    Foundation,
    Loaded,
    Measures,
    Provenance,
    Report,
    Scoring,
    Split,
    Status,
    StepLoss,
    TrialResult,
    TrialSpec,
    examples_of,
    to_json,
)
from sweep.training import memory
from sweep.training.adapters import weight_bytes
from sweep.training.base_model import load_base
from sweep.training.batches import training_examples
from sweep.training.device import device_name, versions
from sweep.training.encoding import Encoded, EncodedSplit, Encoder
from sweep.training.engine import Adapted, OnStep, Trained
from sweep.training.engines import open_engine
from sweep.training.probe import longest_batch, training_peak
from sweep.trials import ADAPTER, CONFIG, SCORES, TrialStore
from sweep.workers.messages import Progress
from tasks import Splits

_SAMPLE = 3
"""So many training examples are passed through packed and plain, to see whether a model can be packed."""


@dataclass(frozen=True)
class Listener:
    """Whom a trial tells how far it is.

    Attributes:
        progress: told often.
        report: told a value for the pruner; answers whether to stop.
    """

    progress: Callable[[Progress], None]
    report: Callable[[int, float], bool]


@dataclass
class _Course:
    """What has happened in a trial so far, kept for its record however it ends."""

    spec: TrialSpec
    listener: Listener
    peak: memory.PeakMemory
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    history: list[StepLoss] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    probed_peak: int | None = None

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the seconds within to a phase."""
        clock = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - clock


class Job:
    """A base model and a task's data, loaded; runs trials on them, side by side where the engine can.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the foundation cannot be loaded.
    """

    def __init__(self, foundation: Foundation, paths: Paths) -> None:
        self._foundation = foundation
        self._store = TrialStore(paths)
        splits = load_splits(foundation.task, paths)
        self._base = load_base(foundation.model, foundation.quant, paths, foundation.memory_budget)
        encoder = Encoder(self._base.tokenizer, foundation.task.system_prompt)
        longest = min(foundation.task.max_length, self._base.context)
        self._train = _fitting("train", encoder.encode_split(splits.train, longest))
        tune = _fitting("tune", encoder.encode_split(splits.tune, longest))
        self._tune = tune.examples[: foundation.scoring.examples]
        self._held_out = HeldOut(splits, encoder, longest, foundation.scoring)
        self._prose = GeneralProse(encoder, foundation.scoring.general_paragraphs, longest)
        self._base_general_loss: float | None = None
        self._engine, note = open_engine(foundation.engine, self._base, self._train.examples[:_SAMPLE])
        self._courses: dict[str, _Course] = {}
        self._untrained: list[TrialSpec] = []
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
            too_long={"train": self._train.too_long, "tune": tune.too_long},
            examples={"train": len(self._train.examples), "tune": len(self._tune)},
            note=note,
        )
        if foundation.memory_budget is not None:
            memory.limit_memory(foundation.memory_budget, self._base.device)

    @property
    def idle(self) -> bool:
        """Whether there is no trial to go on with."""
        return not self._courses

    def begin(self, spec: TrialSpec, listener: Listener) -> None:
        """Takes a trial on.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        self._general_loss_of_base()
        course = self._courses[spec.identity] = _Course(spec, listener, memory.PeakMemory(self._base.device))
        if not self._engine.shares_memory:
            course.peak.start()
        if spec.arm is None or spec.adapter_of is not None:
            self._untrained.append(spec)
        else:
            self._engine.begin(spec, self._train.examples, self._on_step(course))

    def advance(self) -> list[TrialResult]:
        """Goes on for a bit; returns the trials that ended. A complete one is in the store by then.

        Raises:
            ConfigurationError: a target module does not exist.
            PackBroke: see `Engine.advance`; the trials that have not ended are lost to this job.
        """
        untrained, self._untrained = self._untrained, []
        # one after the other: an engine may have room for one adapter on the base
        scored = [self._conclude(self._untouched(spec)) for spec in untrained]
        return [*scored, *(self._conclude(trained) for trained in self._engine.advance())]

    def _untouched(self, spec: TrialSpec) -> Trained:
        """A trial in which nothing is trained, as if it had been."""
        if spec.adapter_of is None:
            return Trained(spec, self._engine.bare(), None, 0.0)
        try:
            return Trained(spec, self._engine.load(self._store.folder(spec.adapter_of) / ADAPTER), None, 0.0)
        except TrialEnded as error:
            return Trained(spec, None, error, 0.0)

    def run(self, spec: TrialSpec, listener: Listener) -> TrialResult:
        """Runs one trial to its end, whichever that is."""
        self.begin(spec, listener)
        while True:
            for result in self.advance():
                return result

    def _conclude(self, trained: Trained) -> TrialResult:
        course = self._courses[trained.spec.identity]
        course.phases["train"] = trained.seconds
        try:
            if trained.error is not None:
                raise trained.error
            assert trained.adapted is not None
            with self._store.writing(trained.spec.identity) as scratch:
                measures = self._measured(trained.adapted, scratch, course)
                result = self._result(course, Status.COMPLETE, None, measures)
                self._store.commit(result)
                return result
        except TrialPruned as error:
            status, reason = Status.PRUNED, str(error)
        except TrialInfeasible as error:
            status, reason = Status.INFEASIBLE, str(error)
        except TrialEnded as error:
            status, reason = Status.FAILED, str(error)
        except ConfigurationError:
            raise
        except Exception as error:
            traceback.print_exception(error)
            if memory.is_out_of_memory(error):
                status, reason = Status.INFEASIBLE, f"out of memory: {_first_line(error)}"
            else:
                status, reason = Status.FAILED, f"{type(error).__name__}: {_first_line(error)}"
        finally:
            del self._courses[trained.spec.identity]
        return self._result(course, status, reason, None)

    def _measured(self, adapted: Adapted, scratch: Path, course: _Course) -> Measures:
        base, spec = self._base, course.spec
        trains = spec.arm is not None and spec.adapter_of is None
        most, peak_of = 0, "evaluation"
        if trains:
            if course.probed_peak is not None:
                most, peak_of = course.probed_peak, "probe"
            else:
                most, peak_of = course.peak.peak(), "training"
            with course.timed("save"):
                adapted.save(scratch / ADAPTER)
        else:
            course.peak.start()
        parameters = adapted.parameters
        adapter_bytes = 0
        if spec.arm is not None:
            adapter_bytes = weight_bytes(self._store.folder(spec.adapter_of) if spec.adapter_of else scratch)
        scored = self._tune if spec.split is Split.TUNE else self._held_out.examples(spec.split)
        outcome = evaluate(
            adapted,
            scored,
            self._foundation.task.metric if spec.answers else None,
            self._foundation.scoring.max_new_tokens,
            lambda phase, done, total: course.listener.progress(Progress(spec.identity, phase, done, total)),
        )
        course.phases.update(outcome.phases)
        general_before = self._general_loss_of_base()
        with course.timed("general"):
            general = self._prose.loss(adapted) if spec.arm is not None else general_before
        if peak_of == "evaluation":
            most = course.peak.peak() - base.copies.bytes
        adapted.release()
        write_scores(outcome.scores, scratch / SCORES)
        (scratch / CONFIG).write_text(yaml.safe_dump({"trial": to_json(spec), "foundation": to_json(self._foundation)}))
        phases = {phase: seconds for phase, seconds in course.phases.items() if seconds or phase != "train"}
        return Measures(
            loss=outcome.loss,
            metrics=outcome.metrics,
            examples=len(outcome.scores),
            tokens=sum(score.tokens for score in outcome.scores),
            peak_bytes=most,
            peak_above_base_bytes=max(0, most - base.resident),
            base_bytes=base.bytes,
            adapter_bytes=adapter_bytes,
            trainable_parameters=parameters,
            trainable_fraction=parameters / (base.parameters + parameters),
            train_seconds=course.phases["train"],
            eval_seconds=sum(seconds for phase, seconds in phases.items() if phase in ("score", "answer", "general")),
            tokens_per_second=_rate(self._trained_tokens(spec), course.phases["train"]),
            train_loss=_last_tenth(course.history),
            general_loss=general,
            forgetting_loss_delta=None
            if general is None or general_before is None or spec.arm is None
            else general - general_before,
            phases=phases,
            peak_of=peak_of,
        )

    def _on_step(self, course: _Course) -> OnStep:
        spec = course.spec

        def on_step(adapted: Adapted, step: StepLoss) -> None:
            course.history.append(step)
            course.listener.progress(Progress(spec.identity, "train", step.step, spec.training.steps, step.loss))
            if step.step == 1 and (self._base.copies.bytes or self._engine.shares_memory):
                with course.timed("probe"):
                    course.probed_peak = training_peak(self._base, adapted, self._longest_batch(spec))
            if spec.report_every and step.step % spec.report_every == 0 and step.step < spec.training.steps:
                with course.timed("report"):
                    some = self._tune[: self._foundation.scoring.report_examples]
                    report = Report(step.step, mean_loss(adapted.losses(some)))
                    course.reports.append(report)
                    prune = course.listener.report(report.step, report.loss)
                if prune:
                    raise TrialPruned(
                        f"trailed arms of rank {spec.rank} at step {report.step} (loss {report.loss:.4f})"
                    )

        return on_step

    def _general_loss_of_base(self) -> float | None:
        if self._base_general_loss is None:
            self._base_general_loss = self._prose.loss(self._engine.bare())
        return self._base_general_loss

    def _ordered(self, spec: TrialSpec) -> list[Encoded]:
        """The training examples in the order in which the trial uses them."""
        if spec.arm is None or spec.adapter_of is not None:
            return []
        return training_examples(self._train.examples, spec.training, spec.seed)

    def _longest_batch(self, spec: TrialSpec) -> Sequence[Encoded]:
        return longest_batch(self._ordered(spec), spec.training.batch_size)

    def _trained_tokens(self, spec: TrialSpec) -> int:
        return sum(len(item) for item in self._ordered(spec))

    def _result(self, course: _Course, status: Status, reason: str | None, measures: Measures | None) -> TrialResult:
        return TrialResult(
            spec=course.spec,
            status=status,
            reason=reason,
            measures=measures,
            history=tuple(course.history),
            reports=tuple(course.reports),
            started=course.started,
            seconds=time.perf_counter() - course.clock,
            provenance=Provenance(
                versions=versions(),
                device=self.loaded.device,
                base_source=self.loaded.source,
                base_hash=self.loaded.base_hash,
                data_hash=self.loaded.data_hash,
                threads=self._foundation.threads,
            ),
        )


class HeldOut:
    """The examples of certify and test, read when a trial that may see them asks for them, and not before."""

    def __init__(self, splits: Splits, encoder: Encoder, longest: int, scoring: Scoring) -> None:
        self._splits = splits
        self._encoder = encoder
        self._longest = longest
        self._scoring = scoring
        self._encoded: dict[Split, Sequence[Encoded]] = {}

    def examples(self, split: Split) -> Sequence[Encoded]:
        """The split's examples that are scored, encoded.

        Raises:
            DataError: every example is too long.
        """
        if split not in self._encoded:
            raw = self._splits.certify if split is Split.CERTIFY else self._splits.test
            fitting = _fitting(split.value, self._encoder.encode_split(raw, self._longest))
            self._encoded[split] = fitting.examples[: examples_of(self._scoring, split)]
        return self._encoded[split]


def _fitting(name: str, split: EncodedSplit) -> EncodedSplit:
    if not split.examples:
        raise DataError(
            f"{name}: every example is longer than task.max_length (or than the model's context); raise task.max_length"
        )
    return split


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no text"


def _last_tenth(history: list[StepLoss]) -> float | None:
    last = history[-max(1, len(history) // 10) :]
    return sum(step.loss for step in last) / len(last) if last else None


def _rate(amount: int, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
