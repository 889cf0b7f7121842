"""Evaluates trained adapters: those with the same question in shared passes, and each example under an adapter once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sweep.errors import ConfigurationError, TrialFailed
from sweep.evaluation.aggregate import bits_per_byte, mean_loss, metrics_of, shares_of, with_score
from sweep.evaluation.data import EvaluationData
from sweep.evaluation.forgetting import Forgetting, forgetting_of
from sweep.records import ExampleOutcome, Split, TrialSpec
from sweep.store.outcomes import OutcomeCache, rule_key
from sweep.training.base_model import LoadedBase
from sweep.training.device_errors import forget_tensors, is_device_failure
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, Engine
from sweep.training.losses_and_answers import AnswerRule
from sweep.training.memory import PeakMemory, release
from tasks import Example

OnProgress = Callable[[str, int, int], None]
"""Called with the phase (`score` for losses, `answer`), the number of examples done, and their total."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """An adapter, or the bare base, to be evaluated.

    Attributes:
        spec: its trial, which says on which split and whether with answers.
        training_peak: peak memory of its training and what that covers, see `Measures.peak_of`; None measures the evaluation.
    """

    spec: TrialSpec
    adapted: AdaptedModel
    on_progress: OnProgress
    training_peak: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of evaluating one adapter.

    Attributes:
        examples, outcomes: the evaluated examples, and the outcome of each.
        loss: nats per completion token, over all tokens of all examples.
        metrics: the task metric under its name, and under `name/kind` for each kind of example; empty without answers.
        nearest: of the bare base, the same for the answers of the nearest training examples, see `tasks.nearest`; else empty.
        shares, nearest_shares: what each example adds to `metrics` and `nearest`, see `tasks.scoring.shares`; on certify and test.
        bits_per_byte: bits per byte of the expected completions; None if they are empty.
        forgetting: the rise of the loss on general prose; None where it is not measured.
        general_right: for each general question, in their order, whether it was answered right.
        phases: seconds by phase: `score` (losses), `answer`, `general`; adapters evaluated together share the time.
        peak_bytes, peak_of: peak memory of the training if there was one, else of the evaluation.
    """

    examples: tuple[Example, ...]
    outcomes: tuple[ExampleOutcome, ...]
    loss: float
    bits_per_byte: float | None
    metrics: Mapping[str, float]
    forgetting: Forgetting | None
    general_right: tuple[bool, ...]
    phases: Mapping[str, float]
    peak_bytes: int
    peak_of: str
    nearest: Mapping[str, float] = field(default_factory=dict)
    shares: tuple[float, ...] = ()
    nearest_shares: tuple[float, ...] = ()


class Evaluator:
    """Evaluates adapters on an engine's base.

    Args:
        metric: the task metric.
        cache: outcomes by adapter and example; what it holds is not computed again.
    """

    def __init__(
        self, base: LoadedBase, engine: Engine, metric: str, data: EvaluationData, cache: OutcomeCache
    ) -> None:
        self._base = base
        self._engine = engine
        self._metric = metric
        self._data = data
        self._cache = cache
        self._base_prose: tuple[ExampleOutcome, ...] = ()

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> list[Evaluation | Exception]:
        """Evaluates adapters; returns for each its evaluation, or the error that prevented it.

        Raises:
            ConfigurationError: a target module does not exist.
            RuntimeError: the device failed, see `sweep.training.device_errors.is_device_failure`.
        """
        groups: dict[tuple[Split, bool, int | None], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request.spec.split, request.spec.answers, request.spec.examples), []).append(index)
        results: dict[int, Evaluation | Exception] = {}
        for indices in groups.values():
            results.update(zip(indices, self._isolating_errors([requests[index] for index in indices]), strict=True))
        return [results[index] for index in range(len(requests))]

    def base_prose(self) -> Sequence[ExampleOutcome]:
        """The bare base's losses on general prose, computed once; empty where forgetting is not measured.

        Raises:
            TrialDiverged: the loss is not finite.
        """
        if not self._base_prose and self._data.prose:
            (base,) = self._engine.evaluate([self._engine.bare()], self._data.prose, None)
            mean_loss(base.outcomes)
            self._base_prose = base.outcomes
        return self._base_prose

    def _isolating_errors(self, group: Sequence[EvaluationRequest]) -> list[Evaluation | Exception]:
        """Evaluates adapters together and, if that fails, each by itself: memory may suffice for one at a time."""
        try:
            return self._evaluate_together(group)
        except ConfigurationError:
            raise
        except Exception as error:
            if is_device_failure(error):
                raise
            forget_tensors(error)
            if len(group) == 1:
                return [error]
            traceback.print_exception(error)
        # after the handler, since the exception would keep the tensors of the failed pass in memory
        release()
        return [result for request in group for result in self._isolating_errors([request])]

    def _evaluate_together(self, group: Sequence[EvaluationRequest]) -> list[Evaluation | Exception]:
        spec = group[0].spec
        peak = PeakMemory(self._base.device)
        if any(request.training_peak is None for request in group):
            peak.start()
        examples = self._data.examples(spec.split)[: spec.examples]
        rule = self._data.answer_rule(examples) if spec.answers else None
        outcomes, seconds = self._outcomes(group, examples, rule, with_progress=True)
        clock = time.perf_counter()
        prose, _ = self._outcomes(group, self._data.prose, None, with_progress=False)
        asked = self._data.questions(spec.split)
        said, _ = self._outcomes(group, asked, self._data.question_rule, with_progress=False)
        general_seconds = (time.perf_counter() - clock) / len(group)
        of_base = rule is not None and any(request.spec.arm is None for request in group)
        questions = [item.example for item in examples]
        looked_up = self._data.nearest(questions) if of_base else []
        is_compared = spec.split is not Split.TUNE  # nothing is claimed of tune
        results: list[Evaluation | Exception] = []
        for request, own, on_prose, told, spent in zip(group, outcomes, prose, said, seconds, strict=True):
            answers = [one.answer for one in own]
            nearest = looked_up if request.spec.arm is None else []
            peak_bytes, peak_of = request.training_peak or (peak.peak() - self._base.copies.bytes, "evaluation")
            try:
                results.append(
                    Evaluation(
                        examples=tuple(item.example for item in examples),
                        outcomes=tuple(
                            with_score(self._metric, item.example, one) for item, one in zip(examples, own, strict=True)
                        ),
                        loss=mean_loss(own),
                        bits_per_byte=bits_per_byte([item.example.completion for item in examples], own),
                        metrics=metrics_of(self._metric, questions, answers),
                        shares=shares_of(self._metric, questions, answers) if is_compared else (),
                        nearest=metrics_of(self._metric, questions, nearest),
                        nearest_shares=shares_of(self._metric, questions, nearest) if is_compared else (),
                        forgetting=forgetting_of(self.base_prose(), on_prose),
                        general_right=tuple(
                            one.answer == item.example.completion for item, one in zip(asked, told, strict=True)
                        ),
                        phases={**spent, "general": general_seconds},
                        peak_bytes=peak_bytes,
                        peak_of=peak_of,
                    )
                )
            except TrialFailed as error:  # of this adapter alone
                results.append(error)
        return results

    def _outcomes(
        self,
        group: Sequence[EvaluationRequest],
        examples: Sequence[Encoded],
        rule: AnswerRule | None,
        *,
        with_progress: bool,
    ) -> tuple[list[list[ExampleOutcome]], list[Mapping[str, float]]]:
        """The outcome of every example under each adapter, and the seconds by phase that computing it took."""
        key = rule_key(None)
        if rule:
            labels = {label.text: label.ids for label in rule.labels}
            key = rule_key(rule.max_new_tokens, labels, of_kind=bool(rule.kinds))
        known = [self._cache.known(request.spec.adapter_id, key) for request in group]
        seconds: list[Mapping[str, float]] = [{} for _ in group]
        # adapters that lack the same examples share passes
        lacking: dict[tuple[int, ...], list[int]] = {}
        for place, outcomes in enumerate(known):
            missing = tuple(index for index, item in enumerate(examples) if item.example.key not in outcomes)
            lacking.setdefault(missing, []).append(place)
        for missing, places in lacking.items():
            if not missing:
                continue
            batch = [examples[index] for index in missing]
            together = [group[place] for place in places]
            on_progress = _progress_of(together, len(batch)) if with_progress else None
            evaluated = self._engine.evaluate([request.adapted for request in together], batch, rule, on_progress)
            for place, one in zip(places, evaluated, strict=True):
                fresh = {item.example.key: outcome for item, outcome in zip(batch, one.outcomes, strict=True)}
                known[place] |= fresh
                seconds[place] = one.seconds
                with suppress(OSError):  # only a cache: without it, a later trial computes the same again
                    self._cache.add(group[place].spec.adapter_id, key, fresh)
        return [[outcomes[item.example.key] for item in examples] for outcomes in known], seconds


def _progress_of(requests: Sequence[EvaluationRequest], total: int) -> Callable[[str, int], None]:
    """Passes the progress of a shared pass on to each of its requests."""

    def on_progress(phase: str, done: int) -> None:
        for request in requests:
            request.on_progress(phase, done, total)

    return on_progress
