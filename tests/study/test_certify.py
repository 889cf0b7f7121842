"""A rank with a failed trial gets no more seeds, and the stage goes on with the others."""

from __future__ import annotations

from typing import Any, cast

from sweep.records import Arm, Split, Stage, TrialSpec
from sweep.study.certify import ladder_specs
from sweep.study.study_run import StudyRun
from tests.conftest import TRAINING, arm


class Specs:
    """Makes specs as a study run does."""

    def spec(self, stage: Stage, recipe: Arm, seed: int, **asked: Any) -> TrialSpec:
        return TrialSpec(f"r{recipe.rank}-s{seed}", "made", stage, recipe, TRAINING, seed, **asked)


def test_a_broken_rank_gets_no_more_trials() -> None:
    broken: set[int] = set()
    runs = [(arm(rank), seed) for seed in (1, 2) for rank in (2, 4, 8)]
    asked = []
    for spec in ladder_specs(cast(StudyRun, Specs()), runs, broken):
        asked.append((spec.rank, spec.seed))
        assert (spec.stage, spec.split) == (Stage.CERTIFY, Split.CERTIFY)
        if spec.rank == 4:
            broken.add(4)
    assert asked == [(2, 1), (4, 1), (8, 1), (2, 2), (8, 2)]
