"""From a composed configuration to a `StudyPlan`: types first, then meaning; every problem is reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from sweep.config.arms import first_arms
from sweep.config.checks import problems_in
from sweep.config.cores import AUTO, available_cores, chosen_workers
from sweep.config.overrides import known_keys, wrong_form
from sweep.config.schema import SweepKeys
from sweep.config.secrets import recorded_yaml
from sweep.config.targets import resolve_targets
from sweep.config.units import byte_count, seconds
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError, DataError
from sweep.records import (
    Arm,
    BaseModel,
    Declaration,
    Quantization,
    Scoring,
    Search,
    SearchSpace,
    StudyPlan,
    TaskData,
    Training,
    WorkerSetup,
)

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


DataCheck = Callable[[TaskData], Sequence[str]]
"""Looks into a data set and says what is wrong with it."""

OptionCheck = Callable[[Search, Training], Sequence[str]]
"""Says what is wrong with the options of sampler and pruner."""


def plan_from(
    composed: DictConfig,
    earlier_problems: Sequence[str] = (),
    data_check: DataCheck | None = None,
    option_check: OptionCheck | None = None,
) -> StudyPlan:
    """The study that a composed configuration describes.

    Args:
        composed: what Hydra made of YAML files and overrides.
        earlier_problems: problems found before, to be reported together with those found here.
        data_check: looks into the data as well, so that a person hears of everything at once.
        option_check: looks at the options of sampler and pruner as well; only called where there are any.

    Raises:
        ConfigurationError: with all problems that were found.
        DataError: the configuration is right, the data is not.
    """
    keys, wrong = typed(composed)
    # without its sets, hardly any target of a model is known
    unsaid = [*wrong, *(("lora.targets", "search.space.targets") if "model.target_sets" in wrong else ())]
    problems = [*filter(None, wrong.values()), *(text for text in problems_in(keys) if not _is_about(text, unsaid))]
    options = keys.search.sampler_options or keys.search.pruner_options
    if option_check and options and not any(text.startswith("search.") for text in (*problems, *earlier_problems)):
        problems += option_check(_search(keys), _training(keys))
    in_data: Sequence[str] = ()
    if data_check and not any(text.startswith("task.") for text in (*problems, *earlier_problems)):
        in_data = data_check(_task(keys))
    if earlier_problems or problems:
        raise ConfigurationError([*earlier_problems, *problems, *in_data])
    if in_data:
        raise DataError(in_data)
    return _plan(keys, recorded_yaml(composed))


def plan_of_record(config: str) -> StudyPlan:
    """The study that a record was made with, out of its `StudyRecord.config`.

    Secrets are masked there, so databases other than files cannot be opened with this plan. Limits and the cores of this
    machine do not matter any more: what was run, was possible.

    Raises:
        ConfigurationError: the record is of a version with other keys.
    """
    composed = OmegaConf.create(config)
    assert isinstance(composed, DictConfig)
    keys, wrong = typed(composed)
    if wrong:
        raise ConfigurationError(filter(None, wrong.values()))
    return _plan(keys, recorded_yaml(composed))


def typed(composed: DictConfig) -> tuple[SweepKeys, dict[str, str | None]]:
    """The configuration in the types of the schema, and what does not fit.

    Returns:
        the keys, with the schema's defaults in place of what does not fit; and for each key that does not fit the problem,
        None if another key is the cause.
    """
    schema = OmegaConf.structured(SweepKeys)
    known = known_keys()
    wrong: dict[str, str | None] = {}
    for key, node in _leaves(composed, known):
        if key not in known:
            wrong[key] = f"{key}: there is no such key{did_you_mean(key, known)}"
        elif node._value() == MISSING:
            wrong[key] = f"{key}: a value is needed; write {key}=..."
        else:
            try:
                value = (
                    OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else _value(composed, key)
                )
                if problem := wrong_form(key, value, known[key]):
                    wrong[key] = f"{key}: {problem}"
                    continue
                OmegaConf.update(schema, key, value, merge=False)
            except InterpolationToMissingValueError:
                wrong[key] = None
            except (OmegaConfBaseException, ValueError, OverflowError) as error:
                wrong[key] = f"{key}: {_first_line(error)}"
    for key in sorted(OmegaConf.missing_keys(schema)):
        wrong.setdefault(key, f"{key}: a value is needed; write {key}=...")
        OmegaConf.update(schema, key, "")
    keys = OmegaConf.to_object(schema)
    assert isinstance(keys, SweepKeys)
    return keys, wrong


def _is_about(problem: str, keys: Iterable[str]) -> bool:
    return any(problem.startswith((f"{key}:", f"{key}=", f"{key}.")) for key in keys)


def _leaves(composed: DictConfig, known: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in map(str, composed):
        key = f"{prefix}{name}"
        node = composed._get_node(name)
        plain = isinstance(node, DictConfig) and not node._is_none() and not node._is_missing()
        section = plain and dataclasses.is_dataclass(known.get(key))
        if section and not OmegaConf.is_interpolation(composed, name):
            yield from _leaves(composed[name], known, f"{key}.")
        else:
            yield key, node


def _value(composed: DictConfig, key: str) -> Any:
    return OmegaConf.select(composed, key, throw_on_missing=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _plan(keys: SweepKeys, config: str) -> StudyPlan:
    model = BaseModel(
        **{
            **_fields(keys.model, BaseModel),
            "id": keys.model.id or keys.model.name,
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
        loraplus_lr_ratio=1.0 if keys.method.loraplus_lr_ratio is None else keys.method.loraplus_lr_ratio,
    )
    cores = available_cores()
    workers = chosen_workers(keys.executor.workers, keys.executor.threads, cores)
    return StudyPlan(
        name=keys.study.name,
        setup=WorkerSetup(
            model=model,
            quant=Quantization(**_fields(keys.quant, Quantization)),
            task=_task(keys),
            scoring=Scoring(report_examples=keys.search.report_examples, **_fields(keys.evaluate, Scoring)),
            engine=keys.engine.name,
            threads=keys.executor.threads or max(1, cores // workers),
            memory_budget=byte_count(keys.budget.memory) if keys.budget.memory is not None else None,
        ),
        training=_training(keys),
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
        search=replace(_search(keys), arms=first_arms(keys)),
        declaration=Declaration(**{**_fields(keys.certify, Declaration), "ladder": tuple(keys.certify.ladder)}),
        tracking_uri=keys.tracking.uri,
        storage_url=keys.storage.url,
        wall_clock=seconds(keys.budget.wall_clock) if keys.budget.wall_clock is not None else None,
        workers=workers,
        threads_alone=keys.executor.threads or cores,
        certify=keys.certify.enabled,
        rate_trials=keys.certify.rate_trials,
        first_look=keys.certify.first_look,
        slots=None if keys.engine.slots == AUTO else keys.engine.slots,
        config=config,
    )


def _training(keys: SweepKeys) -> Training:
    return Training(**_fields(keys.train, Training))


def _search(keys: SweepKeys) -> Search:
    """Without its first arms."""
    return Search(**{**_fields(keys.search, Search), "arms": ()})


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
