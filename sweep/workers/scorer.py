"""Scores trials that have ended, those that are asked the same in shared passes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.errors import ConfigurationError, TrialFailed
from sweep.evaluation.answers import Answers
from sweep.evaluation.forgetting import GeneralProse
from sweep.evaluation.scores import Evaluation, evaluate
from sweep.records import Split
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine, Trained
from sweep.workers.course import Course
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
    ) -> None:
        self._base = base
        self._engine = engine
        self._metric = metric
        self._tune = tune
        self._held_out = held_out
        self._answers = answers
        self._prose = prose
        self._general_loss_of_base: float | None = None

    def scored(self, trained: Sequence[Trained], courses: Mapping[str, Course]) -> dict[str, Scored | Exception]:
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

    def _guarded(self, together: Sequence[Trained], courses: Mapping[str, Course]) -> dict[str, Scored | Exception]:
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

    def _score(self, together: Sequence[Trained], courses: Sequence[Course]) -> dict[str, Scored | Exception]:
        spec = together[0].spec
        adapted = [each.adapted for each in together if each.adapted is not None]
        trained_peaks = [_trained_peak(course) for course in courses]
        examples = self._tune if spec.split is Split.TUNE else self._held_out.examples(spec.split)

        def tell(phase: str, done: int, total: int) -> None:
            for course in courses:
                course.tell(phase, done, total)

        rule = self._answers.rule(examples) if spec.answers else None
        outcomes = evaluate(self._engine, adapted, examples, self._metric, rule, tell)
        clock = time.perf_counter()
        prose = self._prose.losses(self._engine, adapted)
        general_seconds = (time.perf_counter() - clock) / len(together)
        found: dict[str, Scored | Exception] = {}
        for course, outcome, general, peak in zip(courses, outcomes, prose, trained_peaks, strict=True):
            if isinstance(outcome, TrialFailed):
                found[course.spec.identity] = outcome
                continue
            if isinstance(general, TrialFailed):
                found[course.spec.identity] = general
                continue
            course.phases.update(outcome.phases)
            course.add("general", general_seconds)
            most, peak_of = peak or (course.peak.peak() - self._base.copies.bytes, "evaluation")
            found[course.spec.identity] = Scored(outcome, most, peak_of, general)
        return found


def _trained_peak(course: Course) -> tuple[int, str] | None:
    """Peak memory of training and what it was measured over; where nothing is trained the measuring begins."""
    if not course.trains:
        course.peak.start()
        return None
    if course.probed_peak is not None:
        return course.probed_peak, "probe"
    return course.peak.peak(), "training"
