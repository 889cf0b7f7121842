"""Methods in the configuration: their own keys, what they do not have, and what cannot be combined; all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.commands.help import explained
from sweep.config.groups import package_folder
from sweep.config.keys import entries
from sweep.config.load import plan_of_record
from sweep.config.method_keys import owners
from sweep.errors import ConfigurationError
from sweep.methods import LORA_FIELDS, methods
from sweep.records import arm_from_json, to_json
from sweep.records.quants import QUANTS
from sweep.search.space import arm_of, first_points, grid_points, point_of
from sweep.store.identity import adapter_identity, certification_identity, study_identity


def problems(*overrides: str, searches: bool = True) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(overrides, searches=searches)
    return caught.value.problems


def test_each_method_has_a_file_in_conf_that_names_it() -> None:
    folder = package_folder() / "method"
    assert {file.stem for file in folder.glob("*.yaml")} == set(methods())
    for name in methods():
        own = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert own.get("method", own)["name"] == name


@pytest.mark.parametrize("name", methods())
def test_a_description_is_whole(name: str) -> None:
    method = methods()[name]
    assert Path(f"sweep/methods/{name}.py").is_file()
    assert all((method.text, method.paper, method.title))
    assert set(method.lora) <= set(LORA_FIELDS)
    assert set(method.space) <= {key.name for key in method.own_keys()}
    for lacking, has in (("packed", method.packed), ("checkpointing", method.checkpointing)):
        assert has == (lacking not in method.why_not), lacking
    assert (method.quants == QUANTS) == ("quants" not in method.why_not)
    assert method.float32 == ("float32" in method.why_not)
    assert not method.cut or method.has_rank


def test_own_keys_reach_the_arm() -> None:
    plan = composed_plan(["method=prompt_tuning", "method.tokens=5", "certify=none"])
    assert (plan.arm.method, dict(plan.arm.own)) == ("prompt_tuning", {"tokens": 5, "init": "vocabulary"})
    assert (plan.arm.rank, plan.arm.targets) == (0, ())
    assert dict(plan.space.own) == {}, "a value that is given is not searched"
    assert dict(composed_plan(["method=prompt_tuning", "certify=none"]).space.own) == {"tokens": (4, 8, 16, 32)}
    assert plan_of_record(plan.config) == plan


def test_a_method_sets_its_own_rates() -> None:
    assert composed_plan(["method=full", "quant=none", "certify=none"]).arm.learning_rate == 1e-4
    assert (
        composed_plan(["method=full", "quant=none", "certify=none", "train.learning_rate=1e-3"]).arm.learning_rate
        == 1e-3
    )


def test_keys_that_mean_nothing_are_refused_all_at_once() -> None:
    found = problems(
        *("method=prompt_tuning", "method.d_initial=1", "lora.r=8", "lora.targets=q_v", "certify.ladder=[1,2]"),
        *("search.space.rank=[2,4]", "train.gradient_checkpointing=true", "method.tokens=0"),
    )
    starts = [
        "method.tokens=0: must be from 1",
        "method.d_initial=1.0: method=prompt_tuning has no such parameter (it has",
    ]
    starts += [f"{key}: method=prompt_tuning has no" for key in ("lora.r", "lora.targets", "search.space.rank")]
    starts += [
        "certify.ladder: method=prompt_tuning has no rank; leave it out",
        "certify.ladder: method=prompt_tuning has no rank, so",
    ]
    for start in starts:
        assert any(problem.startswith(start) for problem in found), start
    assert len(found) == len(starts)
    assert "write method=vera, or leave it out" in next(problem for problem in found if "d_initial" in problem)


@pytest.mark.parametrize(
    ("words", "reason", "instead"),
    [
        (["method=full"], "quantized weights cannot be trained", "write quant=none"),
        (["method=full", "quant=int8"], "quantized weights cannot be trained", "write quant=none"),
        (
            ["method=full", "quant=none", "quant.compute=bfloat16"],
            "rounds the weights too coarsely",
            "quant.compute=float32",
        ),
        (["method=dora", "quant=int8"], "8-bit columns", "write quant=nf4"),
        (["method=loha"], "4-bit storage flattens", "write quant=int8"),
        (["method=lokr"], "4-bit storage flattens", "write quant=int8"),
        (["method=prefix_tuning", "train.gradient_checkpointing=true"], "drops the cache", "method=prompt_tuning"),
    ],
)
def test_what_cannot_be_combined(words: list[str], reason: str, instead: str) -> None:
    (problem,) = problems(*words, searches=False)
    assert reason in problem
    assert instead in problem


@pytest.mark.parametrize(
    ("words", "reason", "instead"),
    [
        (["method=ia3"], "has no rank", "write certify=none"),
        (["method=dora"], "trained with the update of the full rank", "certify.ladder_by=train"),
        (["method=vera"], "cannot be cut", "certify.ladder_by=train"),
    ],
)
def test_a_ladder_that_the_method_cannot_climb(words: list[str], reason: str, instead: str) -> None:
    (problem,) = problems(*words)
    assert reason in problem
    assert instead in problem
    assert composed_plan(words, searches=False).arm.method == words[0].removeprefix("method=")


def test_a_ladder_of_trained_ranks_is_for_every_method_with_ranks() -> None:
    assert composed_plan(["method=dora", "certify.ladder_by=train"]).certify


@pytest.mark.parametrize("name", methods())
def test_the_engine_is_the_one_that_trains(name: str) -> None:
    plan = composed_plan([f"method={name}", f"quant={methods()[name].quants[0]}", "engine.slots=4"], searches=False)
    packed = methods()[name].packed
    assert (plan.setup.engine, plan.slots) == (("packed", 4) if packed else ("trainer", 1))
    assert bool(plan.notes) != packed


@pytest.mark.parametrize("name", methods())
def test_points_and_arms_are_inverse(name: str) -> None:
    plan = composed_plan([f"method={name}", f"quant={methods()[name].quants[0]}", "certify=none"])
    points = [*first_points(plan), *grid_points(plan.space, 2, 0)]
    assert points
    for point in points:
        assert point_of(arm_of(point, plan.arm), plan.space) == point
    assert all(name in dict(plan.arm.own) for name, _ in plan.space.own)


def test_first_arms_have_the_methods_fields() -> None:
    arms = "search.arms=[{tokens: 8, learning_rate: 3e-2}]"
    (arm,) = composed_plan(["method=prompt_tuning", "certify=none", arms]).search.arms
    assert dict(arm.own)["tokens"] == 8
    (problem,) = problems("method=prompt_tuning", "certify=none", "search.arms=[{r: 8, tokens: 9}]")[:1]
    assert "there is no field 'r'" in problem


def test_help_explains_own_keys() -> None:
    text = "\n".join(explained("method.tokens"))
    assert "prompt_tuning" in text
    assert "virtual tokens" in text
    assert "from 1 to 4096" in text
    assert {f"method.{name}" for name in owners()} <= set(entries())


def test_an_initialization_reaches_the_arm_and_its_identity() -> None:
    default, eva = composed_plan(["lora.r=8"]), composed_plan(["lora.r=8", "lora.init=eva"])
    assert (default.arm.init, eva.arm.init) == ("default", "eva")
    assert "init" not in to_json(default.arm)
    assert arm_from_json(to_json(eva.arm)) == eva.arm
    assert composed_plan(["lora.r=8", "lora.init=default"]).arm == default.arm
    assert all(arm.init == "eva" for arm in (arm_of(point, eva.arm) for point in first_points(eva)))
    assert plan_of_record(eva.config) == eva
    assert study_identity(default, "data") != study_identity(eva, "data")
    assert certification_identity(default.arm) != certification_identity(eva.arm)
    one, other = (adapter_identity(p.setup, "base", "train", p.arm, p.training, 0) for p in (default, eva))
    assert one != other


def test_an_initialization_that_does_not_fit_is_refused_with_the_nearest_that_does() -> None:
    (method,) = problems("method=vera", "lora.init=eva", "certify=none")
    assert "lora.init: method=vera has no initialization of A and B" in method
    assert "dora" in method
    (quant,) = problems("lora.init=loftq", "quant=none")
    assert "no quantization error; write quant=nf4, or lora.init=default" in quant
    (cut,) = problems("lora.init=pissa")
    assert "write certify.ladder_by=train, or lora.init=default" in cut
    odd, rank = problems("lora.init=orthogonal", "certify=train", "search.space.rank=[1,2,4]", "certify.ladder=[1,2,4]")
    assert "search.space.rank has 1" in odd
    assert "certify.ladder has 1" in rank
    (single,) = problems("lora.init=orthogonal", "lora.r=3", searches=False)
    assert "lora.r has 3" in single
    assert composed_plan(["lora.init=orthogonal", "certify.ladder=[1,2,32]"]).arm.init == "orthogonal"
    assert composed_plan(["lora.init=olora", "certify=train"]).arm.init == "olora"


def test_double_quantization_needs_constants() -> None:
    (problem,) = problems("quant=int8", "quant.double_quant=true")
    assert "write quant=nf4 or quant=fp4" in problem
    for quant in ("nf4", "fp4"):
        assert composed_plan([f"quant={quant}"]).setup.quant.double_quant
        assert not composed_plan([f"quant={quant}", "quant.double_quant=false"]).setup.quant.double_quant
