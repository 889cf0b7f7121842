"""Arms are pruned against arms of their own rank, and against no others; after a restart as before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.errors import ConfigurationError
from sweep.records import Report, Status, TrialResult
from sweep.records.plan import PRUNERS
from sweep.search.pruning import SameRankPruner, make_pruner
from tests.conftest import TRAINING, arm, result

# Optuna calls some of the pruners experimental; `sweep.search.storage` silences that for the same reason: they are offered
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

STEPS = (20, 40, 60, 80)
OPTIONS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"percentile": 50.0, "n_startup_trials": 2},
    "wilcoxon": {"p_threshold": 0.3, "n_startup_steps": 1},
}


@dataclass(frozen=True)
class RunningTrial:
    """The losses a trial would report, were it never pruned."""

    rank: int
    losses: tuple[float, ...]


def same_rank(name: str) -> SameRankPruner:
    return SameRankPruner(make_pruner(name, OPTIONS.get(name, {}), STEPS[0], TRAINING.steps))


def run(pruner: SameRankPruner, number: int, course: RunningTrial) -> TrialResult:
    """Goes on until the pruner stops it, or to the end."""
    reports: list[Report] = []
    for step, loss in zip(STEPS, course.losses, strict=True):
        reports.append(Report(step, loss))
        if pruner.should_prune(number, course.rank, step, loss):
            ended = result(arm(course.rank), None, Status.PRUNED, "trailed", reports)
            break
    else:
        ended = result(arm(course.rank), course.losses[-1], reports=reports)
    pruner.finish(number, ended)
    return ended


def run_all(name: str, courses: Sequence[RunningTrial]) -> list[TrialResult]:
    pruner = same_rank(name)
    return [run(pruner, number, course) for number, course in enumerate(courses)]


losses = st.lists(st.floats(0.1, 9), min_size=len(STEPS), max_size=len(STEPS)).map(tuple)
courses_of_any_rank = st.lists(st.builds(RunningTrial, st.sampled_from([4, 8, 16]), losses), min_size=2, max_size=8)


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=15, deadline=None)
@given(courses=courses_of_any_rank)
def test_other_ranks_change_no_decision(name: str, courses: list[RunningTrial]) -> None:
    mixed = run_all(name, courses)
    for rank in {course.rank for course in courses}:
        alone = run_all(name, [course for course in courses if course.rank == rank])
        assert [ended for ended in mixed if ended.spec.rank == rank] == alone


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=15, deadline=None)
@given(courses=courses_of_any_rank, data=st.data())
def test_replayed_trials_lead_to_the_same_decisions(
    name: str, courses: list[RunningTrial], data: st.DataObject
) -> None:
    live = run_all(name, courses)
    stopped_after = data.draw(st.integers(0, len(courses)))
    resumed = same_rank(name)
    resumed.replay(live[:stopped_after])
    rest = [run(resumed, number, courses[number]) for number in range(stopped_after, len(courses))]
    assert rest == live[stopped_after:]


GOOD = [RunningTrial(8, (2.0 + slip, 1.0 + slip, 0.8 + slip, 0.7 + slip)) for slip in (0.0, 0.01, 0.02, 0.03)]
WORSE = (6.0, 5.5, 5.2, 5.0)


@pytest.mark.parametrize("name", ["median", "percentile", "hyperband", "wilcoxon"])
def test_clearly_worse_arm_of_the_same_rank_is_pruned(name: str) -> None:
    # hyperband halves in brackets, so several have to come until one meets rivals of its own bracket
    ended = run_all(name, [*GOOD, *GOOD, *[RunningTrial(8, WORSE)] * 4])
    assert Status.PRUNED in {trial.status for trial in ended[len(GOOD) * 2 :]}


@pytest.mark.parametrize("name", ["median", "percentile", "wilcoxon"])
def test_clearly_worse_arm_of_another_rank_is_not(name: str) -> None:
    assert run_all(name, [*GOOD, RunningTrial(4, WORSE)])[-1].status is Status.COMPLETE


@pytest.mark.parametrize("name", ["median", "percentile", "wilcoxon"])
def test_best_arm_of_its_rank_is_never_pruned(name: str) -> None:
    assert run_all(name, [*GOOD, RunningTrial(8, (1.0, 0.5, 0.4, 0.3))])[-1].status is Status.COMPLETE


def test_nothing_is_pruned_without_a_pruner() -> None:
    assert {ended.status for ended in run_all("none", [*GOOD, RunningTrial(8, WORSE)])} == {Status.COMPLETE}


def test_failed_trials_are_no_rivals() -> None:
    pruner = same_rank("median")
    for number, course in enumerate(GOOD):
        for step, loss in zip(STEPS, course.losses, strict=True):
            pruner.should_prune(number, course.rank, step, loss)
        pruner.finish(number, result(arm(8), None, Status.FAILED, "diverged"))
    assert run(pruner, len(GOOD), RunningTrial(8, WORSE)).status is Status.COMPLETE


@pytest.mark.parametrize(
    ("name", "option", "nearest"),
    [("median", "n_startup_trial", "n_startup_trials"), ("hyperband", "reduction_facto", "reduction_factor")],
)
def test_misspelt_option_is_told_with_the_nearest(name: str, option: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_pruner(name, {option: 2}, 20, 100)
    assert str(caught.value).startswith(
        f"search.pruner_options.{option}: {name} has no such option; did you mean '{nearest}'?"
    )
