"""Every sampler through `SearchStudy`, with made-up results: defaults first, counts are totals, kills change nothing."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from optuna.storages import RDBStorage

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError
from sweep.records import Arm, SearchSpace, Status, StudyPlan, TrialResult
from sweep.records.plan import PRUNERS, SAMPLERS
from sweep.search.reading import studies_of
from sweep.search.study import AskedTrial, SearchStudy
from sweep.store.identity import study_identity
from tests.conftest import result

TRIALS = 8
OPTIONS = {"tpe": "n_startup_trials: 3, multivariate: true", "gp": "n_startup_trials: 3"}
"""Few random draws, so that eight trials also show the sampler's own proposals."""

NewStorage = Callable[[], RDBStorage]


def plan_with(sampler: str, *overrides: str, trials: int = TRIALS) -> StudyPlan:
    options = f"++search.sampler_options={{{OPTIONS.get(sampler, '')}}}".replace(": ", ":")
    return composed_plan(
        [f"sampler={sampler}", options, f"search.trials={trials}", "search.space.learning_rate.high=8e-3", *overrides]
    )


def search_study(plan: StudyPlan, storage: RDBStorage) -> SearchStudy:
    return SearchStudy(plan, storage, study_identity(plan, "data"), "data")


def loss_of(arm: Arm) -> float:
    """Made up: lowest at rank 16 and a learning rate of 3e-3."""
    return 0.2 + abs(math.log2(arm.rank) - 4) / 10 + abs(math.log10(arm.learning_rate / 3e-3)) + arm.dropout


def outcome(arm: Arm) -> TrialResult:
    return result(arm, loss_of(arm))


def go_on(study: SearchStudy, trials: int = TRIALS) -> list[Arm]:
    """Asks and tells, at most `trials` times."""
    arms: list[Arm] = []
    while study.remaining and len(arms) < trials:
        asked = study.ask()
        study.tell(asked, outcome(asked.arm), f"run-{asked.number}")
        arms.append(asked.arm)
    return arms


def arms_of(study: SearchStudy) -> list[Arm]:
    return [trial.spec.arm for trial in study.ended if trial.spec.arm is not None]


def is_inside(arm: Arm, space: SearchSpace) -> bool:
    low, high = space.learning_rate
    return (
        arm.rank in space.ranks
        and arm.alpha_ratio in space.alpha_ratios
        and arm.dropout in space.dropouts
        and ",".join(arm.targets) in space.targets
        and low <= arm.learning_rate <= high
    )


def abandon(asked: AskedTrial, storage: RDBStorage) -> None:
    """Makes the trial look as if its process had been killed."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (study,) = storage.get_all_studies()
    number = storage.get_trial_id_from_study_id_trial_number(study._study_id, asked.number)
    storage.set_trial_user_attr(number, "owner", f"{socket.gethostname()}:{gone.pid}")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_defaults_first_then_arms_of_the_space(sampler: str, new_storage: NewStorage) -> None:
    plan = plan_with(sampler)
    study = search_study(plan, new_storage())
    arms = go_on(study)
    assert len(arms) == TRIALS
    assert [(arm.rank, arm.alpha, arm.targets) for arm in arms[:3]] == [
        (rank, 2.0 * rank, ("q_proj", "v_proj")) for rank in (8, 16, 32)
    ]
    assert all(is_inside(arm, plan.space) for arm in arms)
    assert len(set(arms)) == TRIALS
    assert arms_of(study) == arms
    assert [trial.run_id for trial in study.ended] == [f"run-{number}" for number in range(TRIALS)]


def test_timings_of_slots_are_kept_by_device(new_storage: NewStorage) -> None:
    plan, storage = plan_with("random"), new_storage()
    study = search_study(plan, storage)
    assert study.slot_timings == {}
    study.set_slot_timings("one GPU", {1: 0.5, 2: 0.6})
    study.set_slot_timings("another", {1: 0.1})
    study.set_slot_timings("one GPU", {})
    again = search_study(plan, storage)
    assert again.slot_timings == {"one GPU": {1: 0.5, 2: 0.6}, "another": {1: 0.1}}
    again.set_slot_timings("another", {1: 0.2})
    assert again.slot_timings["another"] == {1: 0.2}


ARMS = ["search.arms=[{r: 4, dropout: 0.05}, {r: 32, alpha_ratio: 1.0, targets: attention, learning_rate: 2e-3}]"]


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_search_arms_come_first_in_their_order(sampler: str, new_storage: NewStorage) -> None:
    plan = plan_with(sampler, *ARMS)
    arms = go_on(search_study(plan, new_storage()))
    assert tuple(arms[:2]) == plan.search.arms
    assert len(set(arms)) == TRIALS


def test_arms_added_later_come_next_and_once(new_storage: NewStorage) -> None:
    storage = new_storage()
    before = go_on(search_study(plan_with("random", trials=4), storage))
    plan = plan_with("random", *ARMS)
    after = go_on(search_study(plan, storage), trials=2)
    assert tuple(after) == plan.search.arms
    rest = go_on(search_study(plan, storage))
    assert len({*before, *after, *rest}) == TRIALS


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "grid"])
@pytest.mark.parametrize("stopped_after", [2, 5])
def test_a_study_stopped_between_trials_continues_unchanged(
    sampler: str, stopped_after: int, new_storage: NewStorage
) -> None:
    plan = plan_with(sampler)
    whole = go_on(search_study(plan, new_storage()))
    storage = new_storage()
    first = go_on(search_study(plan, storage), stopped_after)
    assert [*first, *go_on(search_study(plan, storage))] == whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "grid"])
@pytest.mark.parametrize("stopped_after", [3, 5])
def test_a_study_killed_in_a_trial_continues_unchanged(
    sampler: str, stopped_after: int, new_storage: NewStorage
) -> None:
    plan = plan_with(sampler)
    whole = go_on(search_study(plan, new_storage()))
    storage = new_storage()
    killed = search_study(plan, storage)
    first = go_on(killed, stopped_after)
    abandon(killed.ask(), storage)
    resumed = search_study(plan, storage)
    assert resumed.requeued == 1
    assert [*first, *go_on(resumed)] == whole


def test_a_trial_of_a_dead_process_runs_again_once_with_the_same_values(new_storage: NewStorage) -> None:
    plan, storage = plan_with("random"), new_storage()
    killed = search_study(plan, storage)
    go_on(killed, 4)
    asked = killed.ask()
    abandon(asked, storage)
    resumed = search_study(plan, storage)
    assert (resumed.requeued, resumed.record().interrupted, resumed.remaining) == (1, 1, TRIALS - 4)
    assert search_study(plan, storage).requeued == 0
    again = resumed.ask()
    assert again.arm == asked.arm
    resumed.tell(again, outcome(again.arm), None)
    assert arms_of(resumed)[-1] == asked.arm
    assert search_study(plan, storage).ask().arm != asked.arm


def test_an_interrupted_trial_does_not_count_and_runs_again(new_storage: NewStorage) -> None:
    plan, storage = plan_with("random"), new_storage()
    study = search_study(plan, storage)
    go_on(study, 4)
    asked = study.ask()
    study.tell(asked, result(asked.arm, None, Status.INTERRUPTED, "stopped"), None)
    assert (len(study.ended), study.record().interrupted) == (4, 1)
    assert search_study(plan, storage).ask().arm == asked.arm


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_counts_are_totals(sampler: str, new_storage: NewStorage) -> None:
    storage = new_storage()
    go_on(search_study(plan_with(sampler, trials=5), storage))
    assert search_study(plan_with(sampler, trials=5), storage).remaining == 0
    more = search_study(plan_with(sampler, trials=7), storage)
    assert more.remaining == 2
    go_on(more)
    assert len(more.ended) == 7
    assert search_study(plan_with(sampler, trials=6), storage).remaining == 0


@pytest.mark.parametrize("status", [Status.PRUNED, Status.FAILED, Status.INFEASIBLE])
def test_every_status_counts_and_is_stored(status: Status, new_storage: NewStorage) -> None:
    plan, storage = plan_with("tpe", trials=5), new_storage()
    study = search_study(plan, storage)
    go_on(study, 3)
    asked = study.ask()
    study.tell(asked, result(asked.arm, None, status, "made up"), None)
    assert study.remaining == 1
    go_on(study)
    (record,) = studies_of(storage, plan.name)
    assert [trial.status for trial in record.trials].count(status) == 1
    assert record.trials[3].result.reason == "made up"
    assert record.trials[3].spec.arm == asked.arm


def test_another_sampler_continues_the_same_study(new_storage: NewStorage) -> None:
    storage = new_storage()
    go_on(search_study(plan_with("random"), storage), 5)
    assert len(search_study(plan_with("tpe"), storage).ended) == 5


def test_changed_space_is_another_study_and_keeps_the_earlier_one(new_storage: NewStorage) -> None:
    storage = new_storage()
    plan, changed = plan_with("random"), plan_with("random", "search.space.rank=[4,8]")
    go_on(search_study(plan, storage), 4)
    study = search_study(changed, storage)
    assert (study.ended, study.remaining) == ((), TRIALS)
    assert [arm.rank for arm in go_on(study, 1)] == [8]
    assert [len(record.trials) for record in studies_of(storage, plan.name)] == [1, 4]


def test_another_seed_draws_other_arms(new_storage: NewStorage) -> None:
    first, second = (go_on(search_study(plan_with("random", f"seed={seed}"), new_storage())) for seed in (0, 1))
    assert first[:3] == second[:3]
    assert not set(first[3:]) & set(second[3:])


def test_grid_ends_when_every_point_was_tried(new_storage: NewStorage) -> None:
    small = ("search.space.rank=[8,16]", "search.space.alpha_ratio=[2]", "search.space.dropout=[0,0.1]")
    plan = plan_with("grid", *small, "search.space.targets=[q_v]", "search.grid_learning_rates=1", trials=100)
    storage = new_storage()
    study = search_study(plan, storage)
    arms = go_on(study, 3) + go_on(search_study(plan, storage), 100)
    defaults, grid = arms[:2], arms[2:]
    assert [arm.rank for arm in defaults] == [8, 16]
    assert sorted((arm.rank, arm.dropout) for arm in grid) == [(8, 0.0), (8, 0.1), (16, 0.0), (16, 0.1)]
    assert search_study(plan, storage).remaining == 0


@pytest.mark.parametrize(
    ("sampler", "option", "nearest"),
    [
        ("tpe", "n_startup_trails", "n_startup_trials"),
        ("gp", "n_startup_trial", "n_startup_trials"),
        ("qmc", "qmc_typ", "qmc_type"),
    ],
)
def test_a_misspelt_option_is_reported_with_the_nearest(
    sampler: str, option: str, nearest: str, new_storage: NewStorage
) -> None:
    plan = composed_plan([f"sampler={sampler}", f"search.sampler_options.{option}=2"])
    with pytest.raises(ConfigurationError) as caught:
        search_study(plan, new_storage())
    assert str(caught.value).startswith(
        f"search.sampler_options.{option}: {sampler} has no such option; did you mean '{nearest}'?"
    )


def test_an_unknown_study_is_reported_with_the_known_ones(new_storage: NewStorage) -> None:
    plan, storage = plan_with("random"), new_storage()
    with pytest.raises(ConfigurationError, match=r"there is none yet"):
        studies_of(storage, "other")
    search_study(plan, storage)
    with pytest.raises(ConfigurationError, match=rf"known: {plan.name}\)"):
        studies_of(storage, "other")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampler_as_a_key_is_the_same_as_the_group(sampler: str) -> None:
    assert composed_plan([f"search.sampler={sampler}"]).search == composed_plan([f"sampler={sampler}"]).search


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruner_as_a_key_is_the_same_as_the_group(pruner: str) -> None:
    assert composed_plan([f"search.pruner={pruner}"]).search == composed_plan([f"pruner={pruner}"]).search


@pytest.mark.parametrize(
    "overrides",
    [
        ["pruner=percentile", "search.pruner_options.percentile=150"],
        ["pruner=median", "search.pruner_options.n_startup_trials=-1"],
        ["sampler=tpe", "search.sampler_options.group=true", "search.sampler_options.multivariate=false"],
    ],
    ids=" ".join,
)
def test_option_values_that_optuna_rejects_are_reported_before_the_study_is_created(
    overrides: list[str], new_storage: NewStorage
) -> None:
    storage = new_storage()
    with pytest.raises(ConfigurationError, match=r"search\.(sampler|pruner)_options: "):
        SearchStudy(composed_plan(overrides), storage, "0" * 10, "data")
    assert storage.get_all_studies() == []
