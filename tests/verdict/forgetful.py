"""Made-up rises of the loss on general prose for certified records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sweep.records import Certification, StudyRecord, TrialRecord

TOKENS = 100


def certification_of(record: StudyRecord) -> Certification:
    assert record.certification is not None
    return record.certification


def forgetful(
    record: StudyRecord,
    rises: Mapping[int, float],
    limit: float | None = 0.2,
    *,
    seed_noise: float = 0.005,
    paragraph_noise: float = 0.02,
    paragraphs: int = 8,
    most_seeds: int | None = None,
) -> StudyRecord:
    """The record with a limit of forgetting, and certify trials whose loss on prose rises by these means, exactly over 3, 5 and 8 seeds.

    Args:
        rises: by rank, nats per token.
        most_seeds: `certify.seeds`; by default those that there are.
        seed_noise, paragraph_noise: sd between seeds and between paragraphs.
    """
    draw = np.random.default_rng(3)
    own = draw.standard_normal(paragraphs)
    own = paragraph_noise * (own - own.mean()) / own.std(ddof=1)
    shifts = seed_noise * np.array([1.0, -1.0, 0.0, 0.8, -0.8, 0.0, 1.0, -1.0])

    def with_rises(trial: TrialRecord) -> TrialRecord:
        if trial.measures is None:
            return trial
        nats = TOKENS * (rises[trial.rank] + shifts[trial.seed] + own)
        mean = float(nats.mean()) / TOKENS
        measures = replace(
            trial.measures, prose_rises=tuple((float(one), TOKENS) for one in nats), forgetting_loss_delta=mean
        )
        return replace(trial, result=replace(trial.result, measures=measures))

    certification = certification_of(record)
    seeds = most_seeds or certification.declared.seeds
    declared = replace(certification.declared, max_forgetting=limit, seeds=seeds)
    return replace(
        record,
        declaration=replace(record.declaration, max_forgetting=limit, seeds=seeds),
        certification=replace(certification, declared=declared, trials=tuple(map(with_rises, certification.trials))),
    )
