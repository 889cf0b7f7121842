"""One worker's work: a foundation loaded once, then trial after trial on it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from sweep.training.adapters import detach, load_adapter, save_adapter, trainable_parameters, weight_bytes
from sweep.training.base_model import load_base
from sweep.training.batches import training_order
from sweep.training.device import device_name, versions
from sweep.training.encoding import Encoded, EncodedSplit, Encoder
from sweep.training.forward import completion_losses
from sweep.training.probe import longest_batch, training_peak
from sweep.training.trainer_engine import train
from sweep.trials import ADAPTER, CONFIG, SCORES, TrialStore
from sweep.workers.messages import Progress
from tasks import Splits


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

    history: list[StepLoss] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    report_seconds: float = 0.0
    probe_seconds: float = 0.0
    probed_peak: int | None = None


class Job:
    """A base model and a task's data, loaded; runs trials on them.

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
        )
        if foundation.memory_budget is not None:
            memory.limit_memory(foundation.memory_budget, self._base.device)

    def run(self, spec: TrialSpec, listener: Listener) -> TrialResult:
        """Runs a trial to its end, whichever that is; a complete one is in the store when this returns.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        started, clock = time.time(), time.perf_counter()
        course = _Course()
        measures, reason = None, None
        try:
            with self._store.writing(spec.identity) as scratch:
                measures = self._measured(spec, scratch, course, listener)
                result = self._result(spec, Status.COMPLETE, None, measures, course, started, clock)
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
            traceback.print_exc()
            if memory.is_out_of_memory(error):
                status, reason = Status.INFEASIBLE, f"out of memory: {_first_line(error)}"
            else:
                status, reason = Status.FAILED, f"{type(error).__name__}: {_first_line(error)}"
        return self._result(spec, status, reason, None, course, started, clock)

    def _measured(self, spec: TrialSpec, scratch: Path, course: _Course, listener: Listener) -> Measures:
        base = self._base
        general_before = self._general_loss_of_base()
        peak = memory.PeakMemory(base.device)
        peak.start()
        model, train_seconds, adapter_bytes, parameters = base.model, 0.0, 0, 0
        phases: dict[str, float] = {}
        most, peak_of = 0, "evaluation"
        if spec.adapter_of is not None:
            model = load_adapter(base.model, self._store.folder(spec.adapter_of) / ADAPTER)
        elif spec.arm is not None:
            clock = time.perf_counter()
            model = train(base, spec, self._train.examples, self._on_step(spec, course, listener))
            train_seconds = time.perf_counter() - clock - course.report_seconds - course.probe_seconds
            phases["train"] = train_seconds
            if course.report_seconds:
                phases["report"] = course.report_seconds
            if course.probe_seconds:
                phases["probe"] = course.probe_seconds
            most, peak_of = peak.peak(), "training"
            if course.probed_peak is not None:
                most, peak_of = course.probed_peak, "probe"
            clock = time.perf_counter()
            save_adapter(model, scratch / ADAPTER)
            phases["save"] = time.perf_counter() - clock
        adapted = model is not base.model
        if adapted:
            parameters = trainable_parameters(model)
            adapter_bytes = weight_bytes(self._store.folder(spec.adapter_of) if spec.adapter_of else scratch)
        scored = self._tune if spec.split is Split.TUNE else self._held_out.examples(spec.split)
        outcome = evaluate(
            base,
            model,
            scored,
            self._foundation.task.metric if spec.answers else None,
            self._foundation.scoring.max_new_tokens,
            lambda phase, done, total: listener.progress(Progress(phase, done, total)),
        )
        phases.update(outcome.phases)
        clock = time.perf_counter()
        general = self._prose.loss(base, model) if adapted else general_before
        phases["general"] = time.perf_counter() - clock
        if peak_of == "evaluation":
            most = peak.peak() - base.copies.bytes
        if adapted:
            detach(model)
        write_scores(outcome.scores, scratch / SCORES)
        (scratch / CONFIG).write_text(yaml.safe_dump({"trial": to_json(spec), "foundation": to_json(self._foundation)}))
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
            train_seconds=train_seconds,
            eval_seconds=sum(seconds for phase, seconds in phases.items() if phase in ("score", "answer", "general")),
            tokens_per_second=_rate(self._trained_tokens(spec), train_seconds),
            train_loss=_last_tenth(course.history),
            general_loss=general,
            forgetting_loss_delta=None
            if general is None or general_before is None or not adapted
            else general - general_before,
            phases=phases,
            peak_of=peak_of,
        )

    def _on_step(self, spec: TrialSpec, course: _Course, listener: Listener) -> Callable[[Any, StepLoss], None]:
        def on_step(model: Any, step: StepLoss) -> None:
            course.history.append(step)
            listener.progress(Progress("train", step.step, spec.training.steps, step.loss))
            if step.step == 1 and self._base.copies.bytes:
                clock = time.perf_counter()
                course.probed_peak = training_peak(self._base, model, self._longest_batch(spec))
                course.probe_seconds = time.perf_counter() - clock
            if spec.report_every and step.step % spec.report_every == 0 and step.step < spec.training.steps:
                clock = time.perf_counter()
                some = self._tune[: self._foundation.scoring.report_examples]
                report = Report(step.step, mean_loss(completion_losses(self._base, model, some)))
                course.reports.append(report)
                prune = listener.report(report.step, report.loss)
                course.report_seconds += time.perf_counter() - clock
                if prune:
                    raise TrialPruned(
                        f"trailed arms of rank {spec.rank} at step {report.step} (loss {report.loss:.4f})"
                    )

        return on_step

    def _general_loss_of_base(self) -> float | None:
        if self._base_general_loss is None:
            self._base_general_loss = self._prose.loss(self._base, self._base.model)
        return self._base_general_loss

    def _ordered(self, spec: TrialSpec) -> list[Encoded]:
        """The training examples in the order in which the trial uses them."""
        if spec.arm is None or spec.adapter_of is not None:
            return []
        recipe = spec.training
        needed = recipe.steps * recipe.batch_size * recipe.gradient_accumulation
        examples = self._train.examples
        return [examples[index] for index in training_order(len(examples), needed, spec.seed)]

    def _longest_batch(self, spec: TrialSpec) -> Sequence[Encoded]:
        return longest_batch(self._ordered(spec), spec.training.batch_size)

    def _trained_tokens(self, spec: TrialSpec) -> int:
        return sum(len(item) for item in self._ordered(spec))

    def _result(
        self,
        spec: TrialSpec,
        status: Status,
        reason: str | None,
        measures: Measures | None,
        course: _Course,
        started: float,
        clock: float,
    ) -> TrialResult:
        return TrialResult(
            spec=spec,
            status=status,
            reason=reason,
            measures=measures,
            history=tuple(course.history),
            reports=tuple(course.reports),
            started=started,
            seconds=time.perf_counter() - clock,
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
