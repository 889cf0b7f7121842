"""Each key is defined once, in `sweep.config.schema`: its help, its default, its type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sweep.config.groups import groups, package_folder
from sweep.config.hydra_setup import set_up_hydra
from sweep.config.keys import REQUIRED, entries, key_help, read_value, section_help
from sweep.config.overrides import SYNONYMS, suggestion

OPTION_NAMES = ("name", "sampler", "pruner")
"""Keys that an option's file gives even if the value is the default: they are the option."""


def test_every_key_and_section_has_one_line_of_help() -> None:
    texts = {key: about.text for key, about in key_help().items()} | section_help()
    assert set(texts) == set(entries())
    for key, text in texts.items():
        assert text.strip() == text, key
        assert 0 < len(text) <= 210, key
        assert "\n" not in text, key


def test_help_shows_the_defaults_that_are_composed() -> None:
    set_up_hydra()
    with initialize_config_dir(version_base="1.3", config_dir=str(package_folder())):
        composed = OmegaConf.to_container(compose(config_name="sweep"), resolve=False)
    for key, about in key_help().items():
        value: Any = composed
        for name in key.split("."):
            value = value[name]
        assert yaml.safe_load(about.default or "") == value or str(value) == about.default, key


def test_help_of_a_key() -> None:
    about = key_help()["lora.alpha"]
    assert (about.kind, about.default, about.example) == ("number, or null", "null", "lora.alpha=32")
    assert about.limits == "above zero and at most 4096000, or null"
    assert key_help()["train.schedule"].choices[:2] == ("linear", "cosine")
    assert (key_help()["search.space.rank"].kind, key_help()["search.space.rank"].default) == (
        "list of whole numbers",
        "[2,4,8,16,32]",
    )


def test_examples_are_of_their_key() -> None:
    examples = [about.example for about in key_help().values() if about.example]
    assert len(examples) > 10
    assert all(example.partition("=")[0] in entries() for example in examples)


@pytest.mark.parametrize("file", sorted(package_folder().rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_default_is_stated_twice(file: Path) -> None:
    content = yaml.safe_load(file.read_text()) or {}
    if "@package search" in file.read_text():
        section = "search."
    elif file.stem == "sweep" or "@package _global_" in file.read_text():
        section = ""
    else:
        section = f"{file.relative_to(package_folder()).parts[0]}."
    overridden = dict(included(file, content))
    for key, value in leaves(content, section):
        name = key.rpartition(".")[2]
        if key in entries() and name not in OPTION_NAMES and name not in overridden:
            assert value != entries()[key].default, f"{file.name} repeats the default of {key}"


def included(file: Path, content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and "@" in entry:
            yield from (yaml.safe_load((file.parent / f"{entry.partition('@')[0]}.yaml").read_text()) or {}).items()


def leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        key = f"{prefix}{name}"
        if key in entries() and entries()[key].is_section:
            yield from leaves(value, f"{key}.")
        else:
            yield key, tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        (8, int, 8),
        ("8", int, 8),
        ("1e-3", float, 0.001),
        (2, float, 2.0),
        (None, int | None, None),
        ("3", int | None, 3),
        ("yes", bool, True),
        (False, bool, False),
        (5, str, "5"),
        ([1, "2"], tuple[int, ...], (1, 2)),
        ({"a": ["x"]}, dict[str, tuple[str, ...]], {"a": ("x",)}),
    ],
)
def test_values_are_read_in_the_type_of_their_field(value: object, kind: Any, read: object) -> None:
    assert read_value(value, kind) == read
    assert type(read_value(value, kind)) is type(read)


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        (2.5, int, "a whole number"),
        (True, int, "a whole number"),
        ("much", float, "a number"),
        (True, float, "a number"),
        (10**400, float, "a number"),
        ("maybe", bool, "true or false"),
        ([1, None], tuple[int, ...], "a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused(value: object, kind: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"must be {wanted}"):
        read_value(value, kind)


def test_every_synonym_means_a_key_or_a_group() -> None:
    assert set(SYNONYMS.values()) <= {*entries(), *groups()}
    assert not set(SYNONYMS) & {*entries(), *groups()}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("train.lr", "'train.learning_rate'"),
        ("lr", "'train.learning_rate'"),
        ("learning_rate", "'train.learning_rate' or 'search.space.learning_rate'"),
        ("seeds", "'certify.seeds'"),
        ("epochs", "'train.epochs'"),
        ("num_train_epochs", "'train.epochs'"),
        ("steps", "'train.steps'"),
        ("rank", "'lora.r'"),
        ("lora.rank", "'lora.r'"),
        ("r", "'lora.r'"),
        ("alpha", "'lora.alpha' or 'certify.alpha'"),
        ("lora_alpha", "'lora.alpha'"),
        ("dropout", "'lora.dropout' or 'search.space.dropout'"),
        ("target_modules", "'lora.targets'"),
        ("lora.target_modules", "'lora.targets'"),
        ("trials", "'search.trials'"),
        ("n_trials", "'search.trials'"),
        ("batch_size", "'train.batch_size'"),
        ("ladder", "'certify.ladder'"),
        ("margin", "'certify.margin'"),
        ("ranks", "'search.space.rank'"),
        ("model_name", "'model'"),
        ("dataset", "'task'"),
        ("data", "'task'"),
    ],
)
def test_names_of_other_tools_get_the_key_that_is_meant(name: str, meant: str) -> None:
    assert suggestion(name, list(groups())) == f"; did you mean {meant}?"


def test_required_values_are_those_that_an_option_gives() -> None:
    required = {key for key, entry in entries().items() if entry.default == REQUIRED}
    assert required == {
        "study.name",
        "model.name",
        "model.id",
        "task.name",
        "task.kind",
        "task.metric",
        "method.name",
        "engine.name",
        "executor.name",
    }
