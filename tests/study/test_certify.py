"""Which trials of a ladder run, and when: a rank with a failed trial gets no more seeds, and a cut waits for its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from sweep.records import Arm, Split, Stage, TrialSpec
from sweep.study.certify import ladder_specs
from sweep.study.study_run import StudyRun
from tests.conftest import TRAINING, arm


class Specs:
    """Makes specs as a study run does.

    Args:
        share: whether a worker may take one more of that many trials.
    """

    def __init__(self, share: Callable[[int], bool] = lambda left: True) -> None:
        self.spreads = share

    def spec(self, stage: Stage, recipe: Arm, seed: int, **asked: Any) -> TrialSpec:
        return TrialSpec(f"r{recipe.rank}-s{seed}", "made", stage, recipe, TRAINING, seed, **asked)


def test_a_broken_rank_gets_no_more_trials() -> None:
    broken: set[int] = set()
    runs = [(arm(rank), seed) for seed in (1, 2) for rank in (2, 4, 8)]
    asked = []
    for spec in ladder_specs(cast(StudyRun, Specs()), runs, broken, set()):
        assert spec is not None
        asked.append((spec.rank, spec.seed))
        assert (spec.stage, spec.split) == (Stage.CERTIFY, Split.CERTIFY)
        if spec.rank == 4:
            broken.add(4)
    assert asked == [(2, 1), (4, 1), (8, 1), (2, 2), (8, 2)]


def of_a_cut_ladder(seeds: int) -> list[tuple[Arm, int]]:
    """Rank 8 with each seed, then the cuts to 4 and 2."""
    cuts = [(replace(arm(rank), cut_from=8), seed) for seed in range(1, seeds + 1) for rank in (4, 2)]
    return [*((arm(8), seed) for seed in range(1, seeds + 1)), *cuts]


def test_a_cut_begins_as_soon_as_its_own_seed_is_trained() -> None:
    trained: set[tuple[int, int]] = set()
    specs = ladder_specs(cast(StudyRun, Specs()), of_a_cut_ladder(2), set(), trained)
    assert [spec.identity if (spec := next(specs)) else None for _ in range(3)] == ["r8-s1", "r8-s2", None]
    trained.add((8, 2))
    assert [spec.identity if (spec := next(specs)) else None for _ in range(3)] == ["r4-s2", "r2-s2", None]
    trained.add((8, 1))
    assert [spec.identity for spec in specs if spec] == ["r4-s1", "r2-s1"]


def test_the_last_cuts_are_spread_over_the_workers() -> None:
    asked: list[int] = []

    def share(left: int) -> bool:
        asked.append(left)
        return len(asked) != 3

    runs = of_a_cut_ladder(1)
    specs = ladder_specs(cast(StudyRun, Specs(share)), [*runs, (replace(arm(1), cut_from=8), 1)], set(), {(8, 1)})
    names = [spec.identity if spec is not None else None for spec in specs]
    assert names == ["r8-s1", "r4-s1", "r2-s1", None, "r1-s1"]
    assert asked == [3, 2, 1, 1], "trainings are not asked about"


def test_nothing_is_cut_once_a_training_of_the_largest_rank_failed() -> None:
    broken: set[int] = set()
    specs = ladder_specs(cast(StudyRun, Specs()), of_a_cut_ladder(2), broken, {(8, 1)})
    first = next(specs)
    assert first is not None
    assert first.rank == 8
    broken.add(8)
    assert list(specs) == []


def test_a_rank_whose_cut_failed_is_left_out_and_the_others_go_on() -> None:
    trained = {(8, 1), (8, 2)}
    broken: set[int] = set()
    asked = []
    for spec in ladder_specs(cast(StudyRun, Specs()), of_a_cut_ladder(2)[2:], broken, trained):
        assert spec is not None
        asked.append((spec.rank, spec.seed))
        if spec.rank == 4:
            broken.add(4)
    assert asked == [(4, 1), (2, 1), (2, 2)]
