"""Whether fine-tuning gained anything in the task metric, whatever it gained in loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.special import ndtri

from sweep.records import Certification
from sweep.verdict.bounds import Array
from sweep.verdict.ladder import LadderData
from sweep.verdict.record import MarginOf


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


def metric_not_gained(metric: str, data: LadderData, certification: Certification, rank: int) -> NotGained | None:
    """The rank's task metric and the base's, if it is not shown to be higher; None if it is, or is unknown.

    The test is paired over examples if each has a score; otherwise it uses the seeds' means and their spread. With
    a margin of the metric this is part of the verdict itself (`findings.base_as_good`), so nothing is added.
    """
    before = certification.base
    trials = certification.complete(rank)
    if certification.declared.margin_of == MarginOf.METRIC or before is None or not trials:
        return None
    of_base = before.metric(metric)
    scores = [value for trial in trials if (value := trial.metric(metric)) is not None]
    if of_base is None or len(scores) < len(trials):
        return None
    if data.costs is not None and data.base_costs is not None and rank in data.ranks:
        base, table = data.base_costs, data.costs[data.ranks.index(rank)]
    else:
        base, table = np.array([1 - of_base]), 1 - np.array(scores)[:, None]
    if least_gain(base, table, np.ones(len(base)), certification.declared.alpha) > 0:
        return None
    return NotGained(rank, fmean(scores), of_base, before.measures.examples)


def least_gain(base: Array, table: Array, weights: Array, alpha: float) -> float:
    """A lower confidence bound of how much better the table's mean is than the base's; the gain itself with one seed.

    Seeds and examples both count; what they share is counted twice, so the bound is a little too low.

    Args:
        base: (examples,), losses or costs.
        table: (seeds, examples), likewise.
    """
    share = weights / weights.sum()
    by_example, by_seed = base - table.mean(axis=0), table @ share
    gain = float(by_example @ share)
    variance = float((((by_example - gain) * share) ** 2).sum())
    if len(by_seed) > 1:
        variance += float(by_seed.var(ddof=1)) / len(by_seed)
    return gain + float(ndtri(alpha)) * math.sqrt(variance)
