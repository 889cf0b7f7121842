"""Every YAML file under `conf/` composes into a study, and together they have the keys of the schema."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from sweep.commands.app import composed_plan
from sweep.config.groups import groups, package_folder
from sweep.config.hydra_setup import set_up_hydra
from sweep.config.keys import OPEN_KEYS, known_keys
from sweep.config.load import plan_of_record
from sweep.config.overrides import ADDED_GROUPS
from sweep.errors import ConfigurationError
from sweep.methods import methods
from sweep.methods import scale as scale_of
from sweep.records import BaseModel

CONTRACT = [
    "study.name",
    "model",
    "task",
    "quant",
    "method",
    "lora.r",
    "lora.alpha_ratio",
    "lora.dropout",
    "lora.targets",
    "train.learning_rate",
    "train.steps",
    "train.batch_size",
    "seed",
    "search.trials",
    "search.space",
    "search.sampler",
    "search.pruner",
    "certify.ladder",
    "certify.seeds",
    "certify.margin",
    "certify.margin_of",
    "certify.alpha",
    "engine",
    "executor",
    "tracking.uri",
    "storage.url",
    "budget.wall_clock",
]
NEEDED = {"data": ["task.path=data"], "jsonl": ["task.path=data"], "hub": ["task.dataset=org/name"]}
"""Values that a task requires."""

OPTIONS = [(group, name) for group, names in groups().items() for name in names]
MODELS = [name for name in groups()["model"] if name != "hub"]
STUDIES = sorted((package_folder() / "study").glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    set_up_hydra()
    with initialize_config_dir(version_base="1.3", config_dir=str(package_folder())):
        return compose(config_name="sweep", overrides=list(overrides))


def keys_of(section: DictConfig, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name in map(str, section):
        key = f"{prefix}{name}"
        keys.add(key)
        node = section._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and key not in OPEN_KEYS:
            keys |= keys_of(node, f"{key}.")
    return keys


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_option_composes(group: str, name: str) -> None:
    sign = "+" if group in ADDED_GROUPS else ""
    needed = (
        NEEDED.get(name, []) if group == "task" else ["model.id=org/name"] if (group, name) == ("model", "hub") else []
    )
    if group == "method":  # a verdict on ranks is not for every method
        needed = [f"quant={methods()[name].quants[0]}", "certify=none"]
    plan = composed_plan([f"{sign}{group}={name}", *needed])
    assert yaml.safe_load(plan.config)["study"]["name"] == plan.name
    assert plan_of_record(plan.config) == plan


def test_every_file_is_an_option_or_a_part() -> None:
    files = {file.relative_to(package_folder()) for file in package_folder().rglob("*.yaml")}
    options = {Path(group, f"{name}.yaml") for group, name in OPTIONS}
    assert {file for file in files - options if file.parent.name != "base"} == {Path("sweep.yaml")}


@pytest.mark.parametrize("name", MODELS)
def test_ready_model_has_target_sets_of_its_own_modules(name: str) -> None:
    model = composed_plan([f"model={name}"]).setup.model
    assert isinstance(model, BaseModel)
    assert model.name == name
    assert {"q_v", "attention", "mlp", "all_linear"} <= set(model.target_sets)
    assert model.linear_modules
    for modules in model.target_sets.values():
        assert modules
        assert set(modules) <= set(model.linear_modules)


def test_model_hub_needs_an_id_or_a_path() -> None:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(["model=hub"])
    assert caught.value.problems == ("model.id: a value is needed; write model.id=ORG/NAME, or model.path=FOLDER",)
    model = composed_plan(["model=hub", "model.id=Org/Some_Model"]).setup.model
    assert (model.name, model.id, model.linear_modules) == ("some_model", "Org/Some_Model", ())
    assert composed_plan(["model=hub", "model.path=/models/Some_Model"]).setup.model.name == "some_model"


@pytest.mark.parametrize(
    ("words", "method", "ratio", "scale"),
    [
        ([], "lora", 1.0, 2.0),
        (["method=rslora"], "rslora", 1.0, 8.0),
        (["method=lora_plus"], "lora_plus", 16.0, 2.0),
        (["method=lora_plus", "method.loraplus_lr_ratio=8"], "lora_plus", 8.0, 2.0),
        (["method=rslora_plus"], "rslora_plus", 16.0, 8.0),
    ],
)
def test_method_sets_the_arm(words: list[str], method: str, ratio: float, scale: float) -> None:
    plan = composed_plan(["lora.r=16", "lora.alpha_ratio=2", *words])
    assert (plan.arm.method, plan.arm.loraplus_lr_ratio, scale_of(plan.arm)) == (method, ratio, scale)
    assert plan.arm.alpha == 32
    assert yaml.safe_load(plan.config)["method"]["name"] == method


def test_a_record_without_a_loraplus_ratio_is_read() -> None:
    config = yaml.safe_load(composed_plan([]).config)
    config["method"] = {"name": "lora"}
    assert plan_of_record(yaml.safe_dump(config)).arm == composed_plan([]).arm


def test_schema_and_defaults_have_the_same_keys() -> None:
    assert keys_of(composed()) == set(known_keys())


@pytest.mark.parametrize("key", CONTRACT)
def test_contract_key_exists(key: str) -> None:
    assert key in keys_of(composed())


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_study_holds_only_what_differs_from_the_defaults(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# @package _global_\n")
    content = yaml.safe_load(text)
    chosen = {entry.split("/")[-1]: name for choice in content.pop("defaults", []) for entry, name in choice.items()}
    default = composed(*NEEDED.get(chosen.get("task", ""), []), *(f"{group}={name}" for group, name in chosen.items()))
    for key, value in leaves(content):
        assert value != value_at(default, key), f"{file.name} repeats the default of {key}"


def leaves(section: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    values: list[tuple[str, object]] = []
    for name, value in section.items():
        values += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return values


def value_at(config: DictConfig, key: str) -> object:
    value: object = config
    for name in key.split("."):
        assert isinstance(value, DictConfig)
        value = value[name]
    return value
