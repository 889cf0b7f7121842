"""The task metric beside the loss: what a difference in loss is worth in points, and whether fine-tuning raised the metric.

The relation near the best arms is what counts: over the whole gain, most of the metric's rise is the model learning the
format. So the slope of metric on loss is taken over the trials in the best quarter of the gain, as the median of the slopes
of all pairs of trials evaluated on the same split (Theil 1950, Sen 1968), which is robust to outliers. Pairs whose losses are
closer than half the margin show more noise than relation and are left out. If too few pairs are left, the slope is that of
least squares through the certify trials, provided it is two standard errors from zero. Otherwise it is the slope of the whole
gain: a hundredth of the gain in loss for a hundredth of the gain in the metric, which is too little if most of the gain is the
model learning the format.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

import numpy as np

from sweep.records import Certification, EvaluatedTrial, Split, StudyRecord, TrialRecord
from sweep.verdict.bounds import least_gains
from sweep.verdict.ladder import parts_of
from sweep.verdict.record import MarginOf

_NEAR_BEST = 0.25
_LEAST_PAIRS = 6
_LEAST_POINTS = 6

Point = tuple[float, float]


def points_of_loss(record: StudyRecord, nats: float) -> float | None:
    """About how many points of the task metric (0 to 1) a loss difference in nats per token is worth; None if unknown."""
    if not nats > 0:
        return None
    slope = _slope(record, nats / 2) or _fitted(record) or _slope_of_gain(record)
    return None if slope is None else min(1.0, nats * slope)


def loss_of_points(record: StudyRecord, points: float) -> float | None:
    """About how many nats per token a number of points of the task metric is worth; None if unknown."""
    slope = _slope(record, 0.0) or _fitted(record) or _slope_of_gain(record)
    return None if slope is None or not points > 0 else points / slope


def _slope(record: StudyRecord, least: float) -> float | None:
    """Points lost per nat near the best; None if it cannot be estimated or is not above zero."""
    certification = record.certification
    on_certify = (certification.trials, certification.base) if certification else ((), None)
    slopes: list[float] = []
    for trials, base in (on_certify, (record.trials, record.base)):
        near = _near_best(_points(trials, record.metric), base)
        slopes += [
            (second[1] - first[1]) / (first[0] - second[0])
            for first, second in combinations(near, 2)
            if abs(first[0] - second[0]) > least
        ]
    slope = median(slopes) if len(slopes) >= _LEAST_PAIRS else 0.0
    return slope if slope > 0 else None


def _fitted(record: StudyRecord) -> float | None:
    """Points lost per nat by least squares over the certify trials; None if not distinguishable from zero."""
    certification = record.certification
    points = _points(certification.trials, record.metric) if certification else []
    if len(points) < _LEAST_POINTS or len({loss for loss, _ in points}) == 1:
        return None
    from scipy.stats import linregress  # imports for most of a second, and most studies never get here

    fit = linregress(*zip(*points, strict=True))
    return -float(fit.slope) if fit.slope < 0 and abs(fit.slope) >= 2 * fit.stderr else None


def _slope_of_gain(record: StudyRecord) -> float | None:
    """Points gained per nat gained by the best trial over the base; None unless it gained both."""
    certification = record.certification
    if certification is None or certification.base is None:
        return None
    base = _points([certification.base], record.metric)
    trials = _points(certification.trials, record.metric)
    if not base or not trials:
        return None
    best = min(trials)
    loss, metric = base[0][0] - best[0], best[1] - base[0][1]
    return metric / loss if loss > 0 and metric > 0 else None


def _near_best(points: list[Point], base: EvaluatedTrial | None) -> list[Point]:
    if not points or base is None:
        return points
    best = min(loss for loss, _ in points)
    return [point for point in points if point[0] <= best + _NEAR_BEST * max(0.0, base.loss - best)]


def _points(trials: Iterable[TrialRecord], metric: str) -> list[Point]:
    complete = (trial.evaluated() for trial in trials if trial.is_complete)
    return [(trial.loss, value) for trial in complete if (value := trial.metric(metric)) is not None]


@dataclass(frozen=True, slots=True)
class NotGained:
    """A task metric that is not shown to be better than without an adapter.

    Attributes:
        rank: whose adapter is handed out.
        score: its task metric on certify, mean over seeds.
        base: the unadapted base's.
        examples: how many certify examples both are from.
    """

    rank: int
    score: float
    base: float
    examples: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """The adapter that is handed out beside the answers of the nearest training examples, which need no model.

    Attributes:
        split: test, on which nothing was chosen; certify until test was evaluated.
        score, nearest: the task metric of both, over the same examples.
        low, high: confidence bounds of `score - nearest`, each at the level of the study, paired over examples; minus and plus infinity if
            the noise of examples is unknown.
    """

    split: Split
    examples: int
    score: float
    nearest: float
    low: float
    high: float
    alpha: float

    @property
    def is_worse(self) -> bool:
        """Whether the adapter is shown to be worse."""
        return self.high < 0


def not_above_lookup(metric: str, certification: Certification, rank: int) -> Lookup | None:
    """The comparison with the nearest training examples' answers, if the adapter is not shown to be better; None if it is, or is unknown.

    It is about that one adapter, so its seed is no noise. Where bounds are unknown (records of earlier versions), only a score that is not
    above theirs is reported.
    """
    adapter = min(certification.complete(rank), key=lambda trial: trial.loss)
    tested = certification.on_test()
    pairs = ((tested.get(rank), tested.get(0)), (adapter, certification.base))
    for own, base in pairs:
        if own is None or base is None or own.seed != adapter.seed:
            continue
        score, nearest = own.metric(metric), base.nearest(metric)
        if score is None or nearest is None:
            continue
        low, high = _bounds(parts_of(own, metric), base.measures.nearest_shares, certification.declared.alpha)
        lookup = Lookup(own.spec.split, own.measures.examples, score, nearest, low, high, certification.declared.alpha)
        shown = low > 0 if math.isfinite(low) else score > nearest
        return None if shown else lookup
    return None


def _bounds(own: Sequence[float], other: Sequence[float], alpha: float) -> tuple[float, float]:
    """Of the mean difference of two models' parts of the metric on the same examples; infinite if they are not of the same."""
    if len(own) < 2 or len(own) != len(other):
        return -math.inf, math.inf
    first, second = np.array(own), np.array(other)
    low, high = (
        float(least_gains(-better[None, None], -worse, np.ones(len(own)), alpha)[0])
        for better, worse in ((first, second), (second, first))
    )
    return low, -high


def metric_not_gained(metric: str, certification: Certification, rank: int) -> NotGained | None:
    """The rank's task metric and the base's, if it is not shown to be higher; None if it is, or is unknown.

    The test is paired over examples: by their scores, or their shares of a metric that is no mean of scores (`Measures.shares`). Records of
    earlier versions lack the shares, so the noise of examples is unknown: then only a metric that does not rise is reported. With a margin
    of the metric this is part of the verdict itself (`findings.base_as_good`), so nothing is added.
    """
    before = certification.base
    trials = certification.complete(rank)
    if certification.declared.margin_of == MarginOf.METRIC or before is None or not trials:
        return None
    of_base = before.metric(metric)
    scores = [value for trial in trials if (value := trial.metric(metric)) is not None]
    if of_base is None or len(scores) < len(trials):
        return None
    parts = [parts_of(trial, metric) for trial in (before, *trials)]
    if all(parts):
        base, *tables = (1 - np.array(part[: min(map(len, parts))]) for part in parts)
        shown = least_gains(np.array([tables]), base, np.ones_like(base), certification.declared.alpha)[0] > 0
    else:
        shown = fmean(scores) > of_base
    if shown:
        return None
    return NotGained(rank, fmean(scores), of_base, before.measures.examples)
