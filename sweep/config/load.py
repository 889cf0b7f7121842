"""From a composed configuration to a `StudyPlan`: types first, then meaning; every problem is reported at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.checks import problems_in
from sweep.config.overrides import OPEN_KEYS, known_keys
from sweep.config.schema import SweepKeys
from sweep.config.secrets import without_secrets
from sweep.config.targets import resolve_targets
from sweep.config.units import byte_count, seconds
from sweep.errors import ConfigurationError
from sweep.records import (
    Arm,
    BaseModel,
    Declaration,
    Foundation,
    Quantization,
    Scoring,
    Search,
    SearchSpace,
    StudyPlan,
    TaskData,
    Training,
)
from sweep.suggest import did_you_mean

_HUB = (
    "subset",
    "revision",
    "train_split",
    "validation_split",
    "test_split",
    "prompt_column",
    "completion_column",
    "label_column",
    "template",
)
"""Arguments of `tasks.hub.load` that are keys of `task`, too."""


def plan_from(composed: DictConfig, earlier_problems: Sequence[str] = ()) -> StudyPlan:
    """The study that a composed configuration describes.

    Args:
        composed: what Hydra made of YAML files and overrides.
        earlier_problems: problems found before, to be reported together with those found here.

    Raises:
        ConfigurationError: with all problems that were found.
    """
    keys, problems = typed(composed)
    if keys is not None:
        problems += problems_in(keys)
    problems = [*earlier_problems, *problems]
    if problems or keys is None:
        raise ConfigurationError(problems)
    return _plan(keys, OmegaConf.to_yaml(without_secrets(composed), resolve=True))


def typed(composed: DictConfig) -> tuple[SweepKeys | None, list[str]]:
    """The configuration in the types of the schema, and what does not fit; None if something did not."""
    schema = OmegaConf.structured(SweepKeys)
    known = set(known_keys())
    problems: list[str] = []
    for key, node in _leaves(composed, known):
        if key not in known:
            problems.append(f"{key}: there is no such key{did_you_mean(key, known)}")
            continue
        try:
            value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else _value(composed, key)
            OmegaConf.update(schema, key, value, merge=False)
        except (OmegaConfBaseException, ValueError) as error:
            if not _depends_on_missing(composed, error):
                problems.append(f"{key}: {_first_line(error)}")
    missing = sorted(OmegaConf.missing_keys(composed) & known)
    problems += [f"{key}: a value is needed; write {key}=..." for key in missing]
    if problems:
        return None, problems
    keys = OmegaConf.to_object(schema)
    assert isinstance(keys, SweepKeys)
    return keys, []


def _leaves(composed: DictConfig, known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in map(str, composed):
        key = f"{prefix}{name}"
        if OmegaConf.is_missing(composed, name):
            continue
        node = composed._get_node(name)
        section = isinstance(node, DictConfig) and not node._is_none() and key not in OPEN_KEYS and key in known
        if section and not OmegaConf.is_interpolation(composed, name):
            yield from _leaves(composed[name], known, f"{key}.")
        else:
            yield key, node


def _value(composed: DictConfig, key: str) -> Any:
    return OmegaConf.select(composed, key, throw_on_missing=True)


def _depends_on_missing(composed: DictConfig, error: Exception) -> bool:
    # an interpolation of a missing key: the missing key itself is reported
    return bool(OmegaConf.missing_keys(composed)) and "missing" in str(error).lower()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _plan(keys: SweepKeys, config: str) -> StudyPlan:
    model = BaseModel(
        **{
            **_fields(keys.model, BaseModel),
            "path": str(Path(keys.model.path).expanduser().absolute()) if keys.model.path else None,
            "target_sets": {name: tuple(modules) for name, modules in keys.model.target_sets.items()},
            "linear_modules": tuple(keys.model.linear_modules),
        }
    )
    recipe = Arm(
        rank=keys.lora.r,
        alpha_ratio=keys.lora.alpha_ratio,
        dropout=keys.lora.dropout,
        targets=resolve_targets(keys.lora.targets, model.target_sets),
        learning_rate=keys.train.learning_rate,
        method=keys.method.name,
    )
    cores = available_cores()
    training = dict(_fields(keys.train, Training).items())
    return StudyPlan(
        name=keys.study.name,
        foundation=Foundation(
            model=model,
            quant=Quantization(**_fields(keys.quant, Quantization)),
            task=_task(keys),
            scoring=Scoring(report_examples=keys.search.report_examples, **_fields(keys.evaluate, Scoring)),
            engine=keys.engine.name,
            threads=keys.executor.threads or max(1, cores // keys.executor.workers),
            memory_budget=byte_count(keys.budget.memory) if keys.budget.memory is not None else None,
        ),
        training=Training(**training),
        arm=recipe,
        seed=keys.seed,
        space=SearchSpace(
            ranks=tuple(keys.search.space.rank),
            alpha_ratios=tuple(keys.search.space.alpha_ratio),
            dropouts=tuple(keys.search.space.dropout),
            targets=tuple(
                dict.fromkeys(
                    ",".join(resolve_targets(entry, model.target_sets)) for entry in keys.search.space.targets
                )
            ),
            learning_rate=(keys.search.space.learning_rate.low, keys.search.space.learning_rate.high),
        ),
        search=Search(**_fields(keys.search, Search)),
        declaration=Declaration(**{**_fields(keys.certify, Declaration), "ladder": tuple(keys.certify.ladder)}),
        tracking_uri=keys.tracking.uri,
        storage_url=keys.storage.url,
        wall_clock=seconds(keys.budget.wall_clock) if keys.budget.wall_clock is not None else None,
        workers=keys.executor.workers,
        config=config,
    )


def _task(keys: SweepKeys) -> TaskData:
    task = keys.task
    hub: dict[str, Any] = {}
    if task.kind == "hub":
        hub = {"dataset": task.dataset, **{name: getattr(task, name) for name in _HUB}}
    path = str(Path(task.path).expanduser().absolute()) if task.path else None
    return TaskData(**{**_fields(task, TaskData), "path": path, "hub": hub})


def _fields(keys: Any, record: type) -> dict[str, Any]:
    """The values of those keys that the record has, too."""
    wanted = {entry.name for entry in dataclasses.fields(record)}
    return {entry.name: getattr(keys, entry.name) for entry in dataclasses.fields(keys) if entry.name in wanted}


def available_cores() -> int:
    """The cores that this process may run on, which in a container are fewer than the machine's."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return os.cpu_count() or 1
