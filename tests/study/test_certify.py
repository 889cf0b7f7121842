"""A rank that breaks is not tried with other seeds, and does not end the stage."""

from __future__ import annotations

from typing import Any, cast

from sweep.records import Arm, Split, Stage, TrialSpec
from sweep.study.certify import ladder_specs
from sweep.study.invocation import Invocation
from tests.conftest import TRAINING, arm


class Call:
    """Makes specs as an invocation does."""

    def spec(self, stage: Stage, recipe: Arm, seed: int, **asked: Any) -> TrialSpec:
        return TrialSpec(f"r{recipe.rank}-s{seed}", "made", stage, recipe, TRAINING, seed, **asked)


def test_a_broken_rank_gets_no_more_trials() -> None:
    broken: set[int] = set()
    runs = [(arm(rank), seed) for seed in (1, 2) for rank in (2, 4, 8)]
    asked = []
    for spec in ladder_specs(cast(Invocation, Call()), runs, broken):
        asked.append((spec.rank, spec.seed))
        assert (spec.stage, spec.split) == (Stage.CERTIFY, Split.CERTIFY)
        if spec.rank == 4:
            broken.add(4)
    assert asked == [(2, 1), (4, 1), (8, 1), (2, 2), (8, 2)]
