"""Scores trials that have ended, those that are asked the same in shared passes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sweep.errors import ConfigurationError, TrialFailed
from sweep.evaluation.answers import Answers
from sweep.evaluation.forgetting import GeneralProse
from sweep.evaluation.scores import Evaluation, evaluation_of, loss_or_failure
from sweep.records import Split
from sweep.store.scores import ScoredExample, ScoreStore, rule_key
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted, Engine, Trained
from sweep.training.scored import AnswerRule, Scores
from sweep.workers.course import RunningTrial
from sweep.workers.held_out import HeldOut


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring a trial's adapter came to.

    Attributes:
        peak: peak memory in bytes.
        peak_of: what it was measured over: `training`, a `probe` of it, or `evaluation`.
        general: loss on general prose, or None where none is asked for.
    """

    outcome: Evaluation
    peak: int
    peak_of: str
    general: float | None


class Scorer:
    """Knows what trials are scored on, and by what.

    Args:
        metric: the task's.
        tune: the examples of tune that are scored.
        store: keeps scores by adapter and example; what is there is not computed again.
    """

    def __init__(
        self,
        base: LoadedBase,
        engine: Engine,
        metric: str,
        tune: Sequence[Encoded],
        held_out: HeldOut,
        answers: Answers,
        prose: GeneralProse,
        store: ScoreStore,
    ) -> None:
        self._base = base
        self._engine = engine
        self._metric = metric
        self._tune = tune
        self._held_out = held_out
        self._answers = answers
        self._prose = prose
        self._store = store
        self._general_loss_of_base: float | None = None

    def scored(self, trained: Sequence[Trained], courses: Mapping[str, RunningTrial]) -> dict[str, Scored | Exception]:
        """By identity what scoring came to, or what broke it.

        Args:
            trained: trials whose training ended well.
            courses: theirs, by identity; the seconds of scoring are added to them.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        alike: dict[tuple[Split, bool], list[Trained]] = {}
        for each in trained:
            alike.setdefault((each.spec.split, each.spec.answers), []).append(each)
        found: dict[str, Scored | Exception] = {}
        for together in alike.values():
            found |= self._guarded(together, courses)
        return found

    def general_loss_of_base(self) -> float | None:
        """The bare base's loss on general prose, worked out once; None where none is asked for.

        Raises:
            TrialFailed: it is no number.
        """
        if self._general_loss_of_base is None:
            (loss,) = self._prose.losses(self._engine, [self._engine.bare()])
            if isinstance(loss, TrialFailed):
                raise loss
            self._general_loss_of_base = loss
        return self._general_loss_of_base

    def _guarded(
        self, together: Sequence[Trained], courses: Mapping[str, RunningTrial]
    ) -> dict[str, Scored | Exception]:
        try:
            return self._score(together, [courses[each.spec.identity] for each in together])
        except ConfigurationError:
            raise
        except Exception as error:
            if len(together) == 1:
                return {together[0].spec.identity: error}
            # memory may do for one at a time, and what is one trial's own fault is not another's
            traceback.print_exception(error)
            return {key: value for each in together for key, value in self._guarded([each], courses).items()}

    def _score(self, together: Sequence[Trained], courses: Sequence[RunningTrial]) -> dict[str, Scored | Exception]:
        spec = together[0].spec
        adapted = [each.adapted for each in together if each.adapted is not None]
        peaks = [_trained_peak(course) for course in courses]
        examples = self._tune if spec.split is Split.TUNE else self._held_out.examples(spec.split)
        rule = self._answers.rule(examples) if spec.answers else None
        scored = self._examples(adapted, courses, examples, rule)
        clock = time.perf_counter()
        prose = self._examples(adapted, courses, self._prose.paragraphs, None, phase="general")
        general_seconds = (time.perf_counter() - clock) / len(together)
        found: dict[str, Scored | Exception] = {}
        for course, ours, general, peak in zip(courses, scored, prose, peaks, strict=True):
            course.add("general", general_seconds)
            outcome = evaluation_of(examples, ours, self._metric, course.phases)
            loss = loss_or_failure(general) if general else None
            if isinstance(outcome, TrialFailed):
                found[course.spec.identity] = outcome
            elif isinstance(loss, TrialFailed):
                found[course.spec.identity] = loss
            else:
                most, peak_of = peak or (course.peak.peak() - self._base.copies.bytes, "evaluation")
                found[course.spec.identity] = Scored(outcome, most, peak_of, loss)
        return found

    def _examples(
        self,
        adapted: Sequence[Adapted],
        courses: Sequence[RunningTrial],
        examples: Sequence[Encoded],
        rule: AnswerRule | None,
        phase: str | None = None,
    ) -> list[list[ScoredExample]]:
        """Every example under each adapter; those that were scored before are taken from the store.

        Args:
            phase: what the seconds are counted as, by whoever called; None: as the phases of scoring, here.
        """
        key = (
            rule_key(rule.max_new_tokens, {label.text: label.ids for label in rule.labels}) if rule else rule_key(None)
        )
        known = [self._store.known(course.spec.adapter_id, key) for course in courses]
        lacking: dict[tuple[int, ...], list[int]] = {}
        for place, there in enumerate(known):
            missing = tuple(index for index, item in enumerate(examples) if item.example.key not in there)
            lacking.setdefault(missing, []).append(place)
        for missing, places in lacking.items():
            if not missing:
                continue
            some = [examples[index] for index in missing]

            def tell(name: str, done: int, places: Sequence[int] = places, total: int = len(some)) -> None:
                for place in places:
                    courses[place].tell(name, done, total)

            scores = self._engine.score([adapted[place] for place in places], some, rule, None if phase else tell)
            for place, one in zip(places, scores, strict=True):
                fresh = _by_key(some, one)
                known[place] |= fresh
                with suppress(OSError):  # a cache: without it, the same is computed again some day
                    self._store.add(courses[place].spec.adapter_id, key, fresh)
                if phase is None:
                    courses[place].phases.update(one.seconds)
        return [[there[item.example.key] for item in examples] for there in known]


def _by_key(examples: Sequence[Encoded], scores: Scores) -> dict[str, ScoredExample]:
    answers = scores.answers if scores.answers is not None else [None] * len(examples)
    return {
        item.example.key: ScoredExample(loss.nats, loss.tokens, answer)
        for item, loss, answer in zip(examples, scores.losses, answers, strict=True)
    }


def _trained_peak(course: RunningTrial) -> tuple[int, str] | None:
    """Peak memory of the training that belongs to the trial; where there is none, measuring the scoring begins."""
    if course.training is not None:
        return course.training.peak_bytes, course.training.peak_of
    course.peak.start()
    return None
