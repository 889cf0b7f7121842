"""Trials are compared only with trials of their own rank, and a restart changes no decision."""

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

# Optuna calls some of the pruners experimental; `sweep.search.storage` silences the warning for users, too
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

STEPS = (20, 40, 60, 80)
OPTIONS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"percentile": 50.0, "n_startup_trials": 2},
    "wilcoxon": {"p_threshold": 0.3, "n_startup_steps": 1},
}


@dataclass(frozen=True)
class RunningTrial:
    """The losses that a trial reports if it is never pruned."""

    rank: int
    losses: tuple[float, ...]


def same_rank(name: str) -> SameRankPruner:
    return SameRankPruner(make_pruner(name, OPTIONS.get(name, {}), STEPS[0], TRAINING.steps))


def run(pruner: SameRankPruner, number: int, trial: RunningTrial) -> TrialResult:
    """Runs the trial until it ends or is pruned."""
    reports: list[Report] = []
    for step, loss in zip(STEPS, trial.losses, strict=True):
        reports.append(Report(step, loss))
        if pruner.should_prune(number, arm(trial.rank), step, loss):
            ended = result(arm(trial.rank), None, Status.PRUNED, "pruned", reports)
            break
    else:
        ended = result(arm(trial.rank), trial.losses[-1], reports=reports)
    pruner.finish(number, ended)
    return ended


def run_all(name: str, trials: Sequence[RunningTrial]) -> list[TrialResult]:
    pruner = same_rank(name)
    return [run(pruner, number, trial) for number, trial in enumerate(trials)]


losses = st.lists(st.floats(0.1, 9), min_size=len(STEPS), max_size=len(STEPS)).map(tuple)
trials_of_any_rank = st.lists(st.builds(RunningTrial, st.sampled_from([4, 8, 16]), losses), min_size=2, max_size=8)


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=15, deadline=None)
@given(trials=trials_of_any_rank)
def test_other_ranks_change_no_decision(name: str, trials: list[RunningTrial]) -> None:
    mixed = run_all(name, trials)
    for rank in {trial.rank for trial in trials}:
        alone = run_all(name, [trial for trial in trials if trial.rank == rank])
        assert [ended for ended in mixed if ended.spec.rank == rank] == alone


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=15, deadline=None)
@given(trials=trials_of_any_rank, data=st.data())
def test_replayed_trials_lead_to_the_same_decisions(name: str, trials: list[RunningTrial], data: st.DataObject) -> None:
    live = run_all(name, trials)
    stopped_after = data.draw(st.integers(0, len(trials)))
    resumed = same_rank(name)
    resumed.replay(live[:stopped_after])
    rest = [run(resumed, number, trials[number]) for number in range(stopped_after, len(trials))]
    assert rest == live[stopped_after:]


GOOD = [RunningTrial(8, (2.0 + slip, 1.0 + slip, 0.8 + slip, 0.7 + slip)) for slip in (0.0, 0.01, 0.02, 0.03)]
WORSE = (6.0, 5.5, 5.2, 5.0)


@pytest.mark.parametrize("name", ["median", "percentile", "hyperband", "wilcoxon"])
def test_clearly_worse_arm_of_the_same_rank_is_pruned(name: str) -> None:
    # hyperband halves in brackets, so several are needed until one is compared within its own bracket
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


def test_failed_trials_are_not_compared_with() -> None:
    pruner = same_rank("median")
    for number, trial in enumerate(GOOD):
        for step, loss in zip(STEPS, trial.losses, strict=True):
            pruner.should_prune(number, arm(trial.rank), step, loss)
        pruner.finish(number, result(arm(8), None, Status.FAILED, "diverged"))
    assert run(pruner, len(GOOD), RunningTrial(8, WORSE)).status is Status.COMPLETE


@pytest.mark.parametrize(
    ("name", "option", "nearest"),
    [("median", "n_startup_trial", "n_startup_trials"), ("hyperband", "reduction_facto", "reduction_factor")],
)
def test_a_misspelt_option_is_reported_with_the_nearest(name: str, option: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_pruner(name, {option: 2}, 20, 100)
    assert str(caught.value).startswith(
        f"search.pruner_options.{option}: {name} has no such option; did you mean '{nearest}'?"
    )
