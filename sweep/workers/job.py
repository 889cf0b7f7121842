"""One worker's work: a foundation loaded once, then trial after trial on it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

import yaml

from sweep.data import load_splits
from sweep.errors import ConfigurationError, TrialEnded, TrialInfeasible, TrialPruned
from sweep.evaluation.answers import Answers
from sweep.evaluation.forgetting import GeneralProse
from sweep.evaluation.scores import mean_loss, write_scores
from sweep.paths import Paths
from sweep.records import (
    Foundation,
    Loaded,
    Measures,
    Packing,
    Provenance,
    Report,
    Room,
    Status,
    StepLoss,
    TrialResult,
    TrialSpec,
    to_json,
)
from sweep.training import memory
from sweep.training.adapters import weight_bytes
from sweep.training.base_model import load_base
from sweep.training.batches import training_examples
from sweep.training.device import device_name, versions
from sweep.training.encoding import Encoded, Encoder
from sweep.training.engine import Adapted, OnStep, Trained
from sweep.training.engines import open_engine
from sweep.training.probe import longest_batch, training_peak
from sweep.trials import ADAPTER, CONFIG, SCORES, TrialStore
from sweep.workers.course import Course, Listener
from sweep.workers.held_out import HeldOut, fitting
from sweep.workers.measures import measures_of
from sweep.workers.messages import Progress
from sweep.workers.scorer import Scored, Scorer

_SAMPLE = 3
"""So many training examples are passed through packed and plain, to see whether a model can be packed."""


class Job:
    """A base model and a task's data, loaded; runs trials on them, side by side where the engine can.

    Args:
        packing: asks how many trials can be trained side by side, see `Loaded.room`; None asks nothing.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the foundation cannot be loaded.
    """

    def __init__(self, foundation: Foundation, paths: Paths, packing: Packing | None = None) -> None:
        self._foundation = foundation
        self._store = TrialStore(paths)
        splits = load_splits(foundation.task, paths)
        self._base = load_base(foundation.model, foundation.quant, paths, foundation.memory_budget)
        encoder = Encoder(self._base.tokenizer, foundation.task.system_prompt)
        longest = min(foundation.task.max_length, self._base.context)
        self._train = fitting("train", encoder.encode_split(splits.train, longest))
        tune = fitting("tune", encoder.encode_split(splits.tune, longest))
        self._tune = tune.examples[: foundation.scoring.examples]
        self._answers = Answers(foundation.task.metric, foundation.scoring, self._train.examples)
        self._prose = GeneralProse(encoder, foundation.scoring.general_paragraphs, longest)
        self._engine, note = open_engine(foundation.engine, self._base, self._train.examples[:_SAMPLE])
        held_out = HeldOut(splits, encoder, longest, foundation.scoring)
        self._scorer = Scorer(
            self._base, self._engine, foundation.task.metric, self._tune, held_out, self._answers, self._prose
        )
        self._courses: dict[str, Course] = {}
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
            room=None if packing is None else self._room(packing),
        )
        if foundation.memory_budget is not None:
            memory.limit_memory(foundation.memory_budget, self._base.device)

    def _room(self, packing: Packing) -> Room:
        scored = [(self._tune, self._answers.rule(self._tune)), (self._prose.paragraphs, None)]
        return self._engine.room(packing, self._foundation.memory_budget, self._train.examples, scored)

    @property
    def idle(self) -> bool:
        """Whether there is no trial to go on with."""
        return not self._courses

    def begin(self, spec: TrialSpec, listener: Listener) -> None:
        """Takes a trial on.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        self._scorer.general_loss_of_base()
        course = self._courses[spec.identity] = Course(spec, listener, memory.PeakMemory(self._base.device))
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
        scored = [result for spec in untrained for result in self._conclude([self._untouched(spec)])]
        return scored + self._conclude(self._engine.advance())

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

    def _conclude(self, trained: Sequence[Trained]) -> list[TrialResult]:
        """Scores what was trained, in shared passes, and puts it into the store."""
        scored = self._scorer.scored([each for each in trained if each.error is None], self._courses)
        return [self._ended(each, each.error or scored[each.spec.identity]) for each in trained]

    def _ended(self, trained: Trained, scored: Scored | Exception) -> TrialResult:
        course = self._courses[trained.spec.identity]
        course.phases["train"] = trained.seconds
        try:
            if isinstance(scored, Exception):
                raise scored
            assert trained.adapted is not None
            with self._store.writing(trained.spec.identity) as scratch:
                measures = self._kept(trained.adapted, scored, scratch, course)
                result = course.result(Status.COMPLETE, None, measures, self._provenance())
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
            if trained.adapted is not None:
                trained.adapted.release()
            del self._courses[trained.spec.identity]
        return course.result(status, reason, None, self._provenance())

    def _kept(self, adapted: Adapted, scored: Scored, scratch: Path, course: Course) -> Measures:
        """Writes a trial's files; returns its figures."""
        spec, adapter_bytes = course.spec, 0
        if course.trains:
            with course.timed("save"):
                adapted.save(scratch / ADAPTER)
        if spec.arm is not None:
            adapter_bytes = weight_bytes(self._store.folder(spec.adapter_of) if spec.adapter_of else scratch)
        write_scores(scored.outcome.scores, scratch / SCORES)
        (scratch / CONFIG).write_text(yaml.safe_dump({"trial": to_json(spec), "foundation": to_json(self._foundation)}))
        return measures_of(
            course,
            scored,
            self._base,
            parameters=adapted.parameters,
            adapter_bytes=adapter_bytes,
            trained_tokens=sum(len(item) for item in self._ordered(spec)),
            general_before=self._scorer.general_loss_of_base(),
        )

    def _on_step(self, course: Course) -> OnStep:
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
                    some = self._tune[: self._foundation.scoring.report_examples]
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
        if spec.arm is None or spec.adapter_of is not None:
            return []
        return training_examples(self._train.examples, spec.training, spec.seed)

    def _provenance(self) -> Provenance:
        return Provenance(
            versions=versions(),
            device=self.loaded.device,
            base_source=self.loaded.source,
            base_hash=self.loaded.base_hash,
            data_hash=self.loaded.data_hash,
            threads=self._foundation.threads,
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no text"
