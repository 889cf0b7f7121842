"""The task metric on each kind of example, and the kinds on which an adapter is of little use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sweep.records import Certification, EvaluatedTrial

LEAST_EXAMPLES = 5
"""Kinds with fewer examples are not judged: their scores are too uncertain."""

NO_GAIN = 0.25
"""A gain below this share of the gain over all examples is little, if it is not shown to be above zero either."""

LOW = 0.5
"""A score that is shown to be below this share of the score over all examples is low."""

NOISE = 1.645
"""Standard errors that a gain must exceed to count as shown (one-sided, 95 %)."""


@dataclass(frozen=True, slots=True)
class KindScore:
    """The task metric on the examples of one kind, mean over seeds.

    Attributes:
        kind: the kind's name; empty for all examples together.
        examples: number of examples; None in records that did not count them.
        base: the unadapted base's score; None if it was not evaluated.
        chosen: that of the rank whose adapter is handed out.
        largest: that of the largest rank; None if it was not evaluated.
    """

    kind: str
    examples: int | None
    base: float | None
    chosen: float
    largest: float | None


@dataclass(frozen=True, slots=True)
class Weakness:
    """The kinds on which the adapter that is handed out is of little use.

    Attributes:
        rank: the adapter's.
        largest: the largest rank that was evaluated.
        kinds: the weak kinds, the worst first.
        of: number of kinds.
        overall: the score over all examples.
        larger_is_weak: whether the largest rank is weak on all of these kinds, too.
    """

    rank: int
    largest: int
    kinds: tuple[KindScore, ...]
    of: int
    overall: float
    larger_is_weak: bool


def kinds_on_certify(metric: str, certification: Certification, rank: int) -> tuple[KindScore, ...]:
    """The base's, the rank's and the largest rank's scores on certify: over all examples, then on each kind."""
    largest = certification.complete_ranks()[-1]
    return kind_scores(metric, certification.base, certification.complete(rank), certification.complete(largest))


def joined_with_test(
    scores: Sequence[KindScore], metric: str, certification: Certification, rank: int
) -> tuple[KindScore, ...]:
    """Scores on certify joined with those on test, once the rank's adapter was evaluated there, for more examples of each kind.

    Args:
        scores: on certify, as `kinds_on_certify` returns them.
    """
    tested = certification.on_test()
    chosen, largest = ([tested[each]] if each in tested else [] for each in (rank, certification.complete_ranks()[-1]))
    on_test = {score.kind: score for score in kind_scores(metric, tested.get(0), chosen, largest)}
    joined = [_joined(score, on_test.pop(score.kind, None)) for score in scores]
    return (*joined, *on_test.values()) if joined else ()


def _joined(first: KindScore, second: KindScore | None) -> KindScore:
    """The scores over the examples of both; the first alone if there is no second, or examples were not counted."""
    if second is None or not first.examples or not second.examples:
        return first
    counts = (first.examples, second.examples)

    def mean(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else (counts[0] * one + counts[1] * other) / sum(counts)

    return KindScore(
        kind=first.kind,
        examples=sum(counts),
        base=mean(first.base, second.base),
        chosen=(counts[0] * first.chosen + counts[1] * second.chosen) / sum(counts),
        largest=mean(first.largest, second.largest),
    )


def weakness(scores: Sequence[KindScore], certification: Certification, rank: int) -> Weakness | None:
    """The weak kinds of the rank, None if there are none; see `weak_kinds`."""
    weak = weak_kinds(scores)
    if not weak:
        return None
    larger = [replace(score, chosen=score.largest) for score in scores if score.largest is not None]
    weak_larger = {kind.kind for kind in weak_kinds(larger)}
    return Weakness(
        rank=rank,
        largest=certification.complete_ranks()[-1],
        kinds=weak,
        of=len(scores) - 1,
        overall=scores[0].chosen,
        larger_is_weak={kind.kind for kind in weak} <= weak_larger,
    )


def kind_scores(
    metric: str, base: EvaluatedTrial | None, chosen: Sequence[EvaluatedTrial], largest: Sequence[EvaluatedTrial] = ()
) -> tuple[KindScore, ...]:
    """All examples together first, then each kind by name; empty if no answers were written.

    Args:
        chosen: of each seed of the rank.
        largest: likewise.
    """
    if not chosen or chosen[0].metric(metric) is None:
        return ()
    first, prefix = chosen[0].measures, f"{metric}/"
    counts = {prefix + kind: count for kind, count in first.kinds.items()} | {metric: first.examples}
    return tuple(
        KindScore(
            kind=name.removeprefix(prefix) if name != metric else "",
            examples=counts.get(name),
            base=_mean(name, [base] if base else []),
            chosen=fmean(_values(name, chosen)),
            largest=_mean(name, largest),
        )
        for name in (metric, *sorted(name for name in first.metrics if name.startswith(prefix)))
    )


def weak_kinds(scores: Sequence[KindScore]) -> tuple[KindScore, ...]:
    """The kinds on which the chosen adapter is of little use, the worst first.

    A mean over all examples can hide a kind that was not learned at all. What random guessing would score is not known for
    free text, so a kind is compared with two things that are: the unadapted base, and the adapter's score over all examples. It
    is weak if its score is below that over all examples, and one of these holds:

    - the gain over the base is less than `NO_GAIN` of the gain over all examples, and is not shown to be above zero: it is
      within `NOISE` standard errors;
    - the score is shown to be below `LOW` of that over all examples (upper end of Wilson's interval).

    Standard errors are those of means of scores between 0 and 1. An example counts once, however many seeds answered it, and
    pairing with the base is not used: both make the errors too large rather than too small. Kinds with fewer than
    `LEAST_EXAMPLES` examples are not judged; if counts are not recorded, every kind is assumed to have the average number.
    Nothing is weak if the adapter gains nothing over all examples: that is another finding.

    Args:
        scores: as `kind_scores` returns them.
    """
    if len(scores) < 2:
        return ()
    overall, *kinds = scores
    average = (overall.examples or 0) // len(kinds)
    weak = [kind for kind in kinds if _is_weak(kind, overall, kind.examples if kind.examples is not None else average)]
    return tuple(sorted(weak, key=lambda kind: (kind.chosen, kind.kind)))


def _is_weak(kind: KindScore, overall: KindScore, examples: int) -> bool:
    base, base_overall = kind.base or 0.0, overall.base or 0.0
    gain, gain_overall = kind.chosen - base, overall.chosen - base_overall
    if examples < LEAST_EXAMPLES or gain_overall <= 0 or kind.chosen >= overall.chosen:
        return False
    error = math.sqrt(_variance(kind.chosen, examples) + _variance(base, examples))
    no_gain = gain < NO_GAIN * gain_overall and gain <= NOISE * error
    return no_gain or _highest(kind.chosen, examples) < LOW * overall.chosen


def _variance(score: float, examples: int) -> float:
    """Upper limit of the variance of a mean of scores between 0 and 1; not zero if all are 0 or all are 1 (Laplace's rule)."""
    share = (score * examples + 1) / (examples + 2)
    return share * (1 - share) / examples


def _highest(score: float, examples: int) -> float:
    """The upper end of Wilson's interval (1927) for a mean of scores between 0 and 1."""
    square = NOISE**2 / examples
    half = NOISE * math.sqrt(score * (1 - score) / examples + square / (4 * examples))
    return (score + square / 2 + half) / (1 + square)


def _values(name: str, trials: Sequence[EvaluatedTrial]) -> list[float]:
    return [value for trial in trials if (value := trial.metric(name)) is not None]


def _mean(name: str, trials: Sequence[EvaluatedTrial]) -> float | None:
    values = _values(name, trials)
    return fmean(values) if values else None
