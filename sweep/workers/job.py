"""One worker's work: a foundation loaded once, then trial after trial on it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
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
    Status,
    StepLoss,
    TrialResult,
    TrialSpec,
    to_json,
)
from sweep.training import memory
from sweep.training.adapters import detach, save_adapter, trainable_parameters
from sweep.training.base_model import load_base
from sweep.training.batches import training_order
from sweep.training.device import device_name, versions
from sweep.training.encoding import EncodedSplit, Encoder
from sweep.training.forward import completion_losses
from sweep.training.trainer_engine import train
from sweep.trials import ADAPTER, CONFIG, SCORES, TrialStore
from sweep.workers.messages import Progress


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


class Job:
    """A base model and a task's data, loaded; runs trials on them.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the foundation cannot be loaded.
    """

    def __init__(self, foundation: Foundation, paths: Paths) -> None:
        self._foundation = foundation
        self._store = TrialStore(paths)
        splits = load_splits(foundation.task, paths)
        self._base = load_base(foundation.model, foundation.quant, paths)
        encoder = Encoder(self._base.tokenizer, foundation.task.system_prompt)
        longest = min(foundation.task.max_length, self._base.context)
        self._train = _fitting("train", encoder.encode_split(splits.train, longest))
        tune = _fitting("tune", encoder.encode_split(splits.tune, longest))
        self._tune = tune.examples[: foundation.scoring.examples]
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
        if spec.arm is not None:
            clock = time.perf_counter()
            model = train(base, spec, self._train.examples, self._on_step(spec, course, listener))
            train_seconds = time.perf_counter() - clock - course.report_seconds
            phases["train"] = train_seconds
            if course.report_seconds:
                phases["report"] = course.report_seconds
            parameters = trainable_parameters(model)
            clock = time.perf_counter()
            adapter_bytes = save_adapter(model, scratch / ADAPTER)
            phases["save"] = time.perf_counter() - clock
        outcome = evaluate(
            base,
            model,
            self._tune,
            self._foundation.task.metric,
            self._foundation.scoring.max_new_tokens,
            lambda phase, done, total: listener.progress(Progress(phase, done, total)),
        )
        phases.update(outcome.phases)
        clock = time.perf_counter()
        general = self._prose.loss(base, model) if spec.arm is not None else general_before
        phases["general"] = time.perf_counter() - clock
        most = peak.peak()
        if spec.arm is not None:
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
            if general is None or general_before is None or spec.arm is None
            else general - general_before,
            phases=phases,
        )

    def _on_step(self, spec: TrialSpec, course: _Course, listener: Listener) -> Callable[[Any, StepLoss], None]:
        def on_step(model: Any, step: StepLoss) -> None:
            course.history.append(step)
            listener.progress(Progress("train", step.step, spec.training.steps, step.loss))
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

    def _trained_tokens(self, spec: TrialSpec) -> int:
        if spec.arm is None:
            return 0
        recipe = spec.training
        needed = recipe.steps * recipe.batch_size * recipe.gradient_accumulation
        return sum(
            len(self._train.examples[index]) for index in training_order(len(self._train.examples), needed, spec.seed)
        )

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
