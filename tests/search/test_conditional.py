"""A search over methods: points are arms of one method with its own parameters alone, whatever sampler draws them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage

from sweep.commands.app import composed_plan
from sweep.methods import methods
from sweep.records import Arm, SearchedMethod, Status, StudyPlan, TrialResult
from sweep.search.conditional import METHOD, arm_at, first_points, grid_points, point_at, suggest
from sweep.search.reading import FEWEST_TRIALS, studies_of
from sweep.search.space import LEARNING_RATE
from sweep.search.study import SearchStudy
from sweep.store.identity import study_identity
from tests.conftest import result
from tests.search.test_study import abandon

EVERY = composed_plan(
    [f"search.space.method=[{','.join(methods())}]", "certify=none", "quant=none", "search.trials=99"]
)
SAMPLERS = ("tpe", "random", "grid")
"""Those that search over methods; the others are refused (`tests/config/test_searched_methods.py`)."""

NewStorage = Callable[[], RDBStorage]


def plan_with(sampler: str, *words: str, trials: int = 12) -> StudyPlan:
    options = "++search.sampler_options={n_startup_trials:4}" if sampler == "tpe" else "search.sampler_options={}"
    return composed_plan(
        [
            *("search.space.method=[lora,dora,prompt_tuning]", "certify=none", f"sampler={sampler}", options),
            *(f"search.trials={trials}", "search.space.rank=[4,8]", "search.space.targets=[q_v]", *words),
        ]
    )


def search_study(plan: StudyPlan, storage: RDBStorage) -> SearchStudy:
    return SearchStudy(plan, storage, study_identity(plan, "data"), "data")


def loss_of(arm: Arm) -> float:
    """Made up: each method has a best rate of its own, DoRA is the best of all."""
    best = {"lora": 2e-3, "dora": 5e-3, "prompt_tuning": 1e-1}[arm.method]
    return {"lora": 0.2, "dora": 0.1, "prompt_tuning": 0.6}[arm.method] + abs(math.log10(arm.learning_rate / best))


def outcome(arm: Arm) -> TrialResult:
    return result(arm, loss_of(arm))


def go_on(study: SearchStudy, trials: int = 99) -> list[Arm]:
    arms: list[Arm] = []
    while study.remaining and len(arms) < trials:
        asked = study.ask()
        study.tell(asked, outcome(asked.arm), None)
        arms.append(asked.arm)
    return arms


def is_inside(arm: Arm, plan: StudyPlan) -> bool:
    (searched,) = [each for each in plan.methods if each.name == arm.method]
    space, own = searched.space, dict(arm.own)
    low, high = space.learning_rate
    return (
        low <= arm.learning_rate <= high
        and (arm.rank in space.ranks if space.ranks else arm.rank == searched.arm.rank)
        and (arm.dropout in space.dropouts if space.dropouts else arm.dropout == searched.arm.dropout)
        and all(own[name] in values for name, values in space.own)
    )


@st.composite
def mixed_spaces(draw: st.DrawFn) -> StudyPlan:
    chosen = draw(st.lists(st.sampled_from(EVERY.methods), min_size=2, unique_by=lambda each: each.name))
    return replace(EVERY, methods=tuple(chosen))


def arms_in(searched: SearchedMethod) -> st.SearchStrategy[Arm]:
    """Arms of a method's space."""
    space, recipe = searched.space, searched.arm

    def made(rank: int, ratio: float, dropout: float, targets: str, rate: float, own: tuple[object, ...]) -> Arm:
        values = dict(zip((name for name, _ in space.own), own, strict=True))
        return replace(
            recipe,
            rank=rank,
            alpha_ratio=ratio,
            dropout=dropout,
            targets=tuple(targets.split(",")) if targets else (),
            learning_rate=rate,
            own=tuple((name, values.get(name, value)) for name, value in recipe.own),
        )

    return st.builds(
        made,
        st.sampled_from(space.ranks or (recipe.rank,)),
        st.sampled_from(space.alpha_ratios or (recipe.alpha_ratio,)),
        st.sampled_from(space.dropouts or (recipe.dropout,)),
        st.sampled_from(space.targets or (",".join(recipe.targets),)),
        st.floats(*space.learning_rate),
        st.tuples(*(st.sampled_from(values) for _, values in space.own)),
    )


@settings(deadline=None)
@given(mixed_spaces(), st.data())
def test_arms_and_points_are_inverse(plan: StudyPlan, data: st.DataObject) -> None:
    searched = data.draw(st.sampled_from(plan.methods))
    arm = data.draw(arms_in(searched))
    point = point_at(arm, plan)
    assert arm_at(point, plan) == arm
    assert point[METHOD] == searched.name
    assert all(name == METHOD or name.startswith(f"{searched.name}/") for name in point)


@settings(deadline=None, max_examples=30)
@given(mixed_spaces(), st.integers(0, 2**31))
def test_what_is_drawn_has_the_parameters_of_its_method_alone(plan: StudyPlan, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    suggest(trial, plan)
    arm = arm_at(trial.params, plan)
    assert is_inside(arm, plan)
    assert trial.params == dict(point_at(arm, plan))
    assert trial.distributions.keys() == trial.params.keys()


def test_the_names_of_one_method_are_those_of_every_study_before() -> None:
    plan = composed_plan([])
    assert plan.methods == ()
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    suggest(trial, plan)
    assert list(trial.params) == ["log2_r", "alpha_ratio", "dropout", "targets", LEARNING_RATE]


def test_each_method_starts_with_its_own_recipe() -> None:
    firsts = [arm_at(point, EVERY) for point in first_points(EVERY)]
    assert [arm.method for arm in firsts] == [each.name for each in EVERY.methods]
    assert all(is_inside(arm, EVERY) for arm in firsts)
    by_name = {arm.method: arm for arm in firsts}
    assert (by_name["lora"].rank, by_name["lora"].learning_rate) == (16, 3e-3)
    assert (by_name["vera"].rank, by_name["full"].learning_rate) == (256, 1e-4)


def test_methods_without_an_arm_of_their_own_start_after_the_arms() -> None:
    plan = plan_with("random", "search.arms=[{method: dora, r: 4}, {method: dora, r: 8}]")
    firsts = [arm_at(point, plan) for point in first_points(plan)]
    assert [(arm.method, arm.rank) for arm in firsts] == [("dora", 4), ("dora", 8), ("lora", 8), ("prompt_tuning", 0)]


def test_a_grid_is_the_union_of_the_methods_grids() -> None:
    plan = plan_with("grid")
    points = grid_points(plan)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    of_each = {
        each.name: sum(len(grid_points(replace(plan, methods=(each,)))) for _ in range(1)) for each in plan.methods
    }
    # ranks x alpha ratios x dropouts x one set of targets x rates; tokens x rates
    assert of_each == {"lora": 2 * 3 * 3 * 3, "dora": 2 * 3 * 3 * 3, "prompt_tuning": 4 * 3}
    assert len(points) == sum(of_each.values())
    assert all(is_inside(arm_at(point, plan), plan) for point in points)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_method_is_tried_and_every_arm_is_of_its_space(sampler: str, new_storage: NewStorage) -> None:
    plan = plan_with(sampler)
    arms = go_on(search_study(plan, new_storage()))
    assert len(arms) == len(set(arms)) == 12
    assert [arm.method for arm in arms[:3]] == ["lora", "dora", "prompt_tuning"]
    assert all(is_inside(arm, plan) for arm in arms)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stopped_after", [2, 8])
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


def test_the_order_of_the_methods_changes_no_study(new_storage: NewStorage) -> None:
    storage, plan = new_storage(), plan_with("tpe")
    go_on(search_study(plan, storage), 5)
    other = composed_plan(
        [
            *("search.space.method=[prompt_tuning,lora,dora]", "certify=none", "search.trials=12"),
            *("search.space.rank=[4,8]", "search.space.targets=[q_v]", "sampler=random"),
        ]
    )
    again = search_study(other, storage)
    assert len(again.ended) == 5
    assert len(go_on(again)) == 7


def test_another_list_of_methods_is_another_study() -> None:
    plan = plan_with("tpe")
    fewer = replace(plan, methods=plan.methods[:2])
    fixed = plan_with("tpe", "method.tokens=8")
    alone = composed_plan(["certify=none", "search.space.rank=[4,8]", "search.space.targets=[q_v]"])
    assert len({study_identity(each, "data") for each in (plan, fewer, fixed, alone)}) == 4


def test_tpe_finds_each_method_s_own_rate(new_storage: NewStorage) -> None:
    plan = plan_with("tpe", trials=60)
    arms = go_on(search_study(plan, new_storage()))
    late = arms[20:]
    tried = {name: [arm for arm in late if arm.method == name] for name in ("lora", "dora", "prompt_tuning")}
    assert all(tried.values()), "no method is given up"
    assert len(tried["dora"]) == max(map(len, tried.values())), "the best one is tried most"
    for name, best in (("dora", 5e-3), ("lora", 2e-3), ("prompt_tuning", 1e-1)):
        nearest = min(abs(math.log10(arm.learning_rate / best)) for arm in arms if arm.method == name)
        assert nearest < 0.1, name


@pytest.mark.parametrize("options", ["{group:true}", "{multivariate:false}"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_s_own_ways_can_be_asked_for(options: str, new_storage: NewStorage) -> None:
    words = f"++search.sampler_options={options}"
    plan = composed_plan(["search.space.method=[lora,prompt_tuning]", "certify=none", "search.trials=10", words])
    arms = go_on(search_study(plan, new_storage()))
    assert len(arms) == 10
    assert all(is_inside(arm, plan) for arm in arms)


def test_importances_are_of_one_method_s_trials(new_storage: NewStorage) -> None:
    plan, storage = plan_with("random", trials=30), new_storage()
    study = search_study(plan, storage)
    go_on(study, 5)
    assert set(study.record().method_importances) == {"lora", "dora", "prompt_tuning"}
    assert not any(study.record().method_importances.values()), "too few trials of each"
    go_on(study)
    record = study.record()
    assert record.importances == {}
    for name, shares in record.method_importances.items():
        complete = sum(trial.arm.method == name for trial in record.complete())
        assert bool(shares) == (complete >= FEWEST_TRIALS), name
        assert not shares or sum(shares.values()) == pytest.approx(1.0)
        own = {"method.tokens", LEARNING_RATE} if name == "prompt_tuning" else {"log2_r", "alpha_ratio", "dropout"}
        assert not set(shares) - own - {LEARNING_RATE}
    (stored,) = studies_of(storage, plan.name)
    assert stored == record


def test_trials_are_pruned_against_their_own_method(new_storage: NewStorage) -> None:
    plan = plan_with("random", "pruner=median", "++search.pruner_options={n_startup_trials:1}", trials=9)
    study = search_study(plan, new_storage())
    stopped: dict[str, list[bool]] = {}
    while study.remaining:
        asked = study.ask()
        # prompt tuning is far behind, but no worse than itself
        stop = study.report(asked, study.report_every, {"prompt_tuning": 5.0}.get(asked.arm.method, 0.1))
        stopped.setdefault(asked.arm.method, []).append(stop)
        study.tell(asked, outcome(asked.arm), None)
    assert not any(stopped["prompt_tuning"])


def test_an_interrupted_trial_runs_again_with_its_method(new_storage: NewStorage) -> None:
    plan, storage = plan_with("tpe"), new_storage()
    study = search_study(plan, storage)
    go_on(study, 6)
    asked = study.ask()
    study.tell(asked, result(asked.arm, None, Status.INTERRUPTED, "stopped"), None)
    assert search_study(plan, storage).ask().arm == asked.arm
