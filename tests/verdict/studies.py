"""Made-up losses of a ladder for the tests of the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sweep.records import Measures, StudyRecord, TrialRecord

Array = NDArray[np.float64]
Trial = TypeVar("Trial", bound=TrialRecord)
BASE = 4.7


def losses_of(
    means: Sequence[float],
    seeds: int = 5,
    examples: int = 40,
    seed_sd: float = 0.02,
    example_sd: float = 0.05,
    draw: int = 0,
) -> Array:
    """(ranks, seeds, examples): means plus noise of seeds, of examples (shared and own) and of both."""
    random = np.random.default_rng(draw)
    ranks = len(means)
    seed = seed_sd * random.standard_normal((ranks, seeds, 1))
    shared = 0.1 * random.standard_normal(examples)
    own = example_sd * random.standard_normal((ranks, 1, examples))
    both = example_sd / 2 * random.standard_normal((ranks, seeds, examples))
    losses: Array = np.array(means)[:, None, None] + seed + shared + own + both
    return losses


def base_of(examples: int = 40, draw: int = 0) -> Array:
    """(examples,): losses of the unadapted base."""
    return BASE + 0.3 * np.random.default_rng([draw, 1]).standard_normal(examples)


def with_kinds(
    record: StudyRecord, scores: Mapping[int, Mapping[str, float]], counts: Mapping[str, int]
) -> StudyRecord:
    """The certified study with a task metric for each kind of example: of each rank, 0 for the base; on certify and on test."""
    certification = record.certification
    assert certification is not None
    assert certification.base is not None

    def with_kinds_of(trial: Trial) -> Trial:
        measures = trial.measures
        if measures is None or not measures.metrics:
            return trial
        own = {f"{record.metric}/{kind}": score for kind, score in scores[trial.rank].items()}
        dressed: Measures = replace(measures, metrics={**measures.metrics, **own}, kinds=counts)
        return replace(trial, result=replace(trial.result, measures=dressed))

    return replace(
        record,
        certification=replace(
            certification,
            base=with_kinds_of(certification.base),
            trials=tuple(with_kinds_of(trial) for trial in certification.trials),
            final=tuple(with_kinds_of(trial) for trial in certification.final),
        ),
    )


def with_nearest(record: StudyRecord, scores: Mapping[str, float]) -> StudyRecord:
    """The study with the scores of the nearest training examples' answers beside the base's on test."""
    certification = record.certification
    assert certification is not None

    def with_scores(trial: Trial) -> Trial:
        if trial.measures is None or trial.spec.arm is not None:
            return trial
        return replace(trial, result=replace(trial.result, measures=replace(trial.measures, nearest=scores)))

    return replace(
        record, certification=replace(certification, final=tuple(with_scores(trial) for trial in certification.final))
    )
