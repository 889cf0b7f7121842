"""From a composed configuration to a `StudyPlan`: types first, then meaning; every problem is reported at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from sweep.config.arms import configured_arm, first_arms, searched_space
from sweep.config.checks import problems_in
from sweep.config.compute import with_compute_type, with_former_type
from sweep.config.cores import available_cores, chosen_workers
from sweep.config.devices import AUTO, devices_for
from sweep.config.keys import REQUIRED, Entry, entries, fields_of, limits, read_value, shortened
from sweep.config.ladder_arms import LADDER, holds_arms, ladder_arms, ladder_methods, ladder_quants
from sweep.config.method_values import with_value
from sweep.config.methods import engine_of, method_problems, needs_float32
from sweep.config.overrides import ALTERNATIVES, given_keys, suggestion, wrong_form
from sweep.config.recorded import recorded_yaml
from sweep.config.schema import Config
from sweep.config.searched_methods import searched_methods
from sweep.config.units import byte_count, seconds
from sweep.errors import ConfigurationError, DataError
from sweep.methods import methods
from sweep.records import Declaration, Quantization, Search, StudyPlan, TaskData, Training, WorkerSetup

R = TypeVar("R")

DataCheck = Callable[[TaskData], Sequence[str]]
"""Reads a data set and returns its problems."""

OptionCheck = Callable[[Search, Training], Sequence[str]]
"""Returns the problems of sampler and pruner options."""

UNKNOWN_STEPS = 0
"""The steps of a plan whose epochs are not resolved yet."""


def plan_from(
    composed: DictConfig,
    earlier_problems: Sequence[str] = (),
    data_check: DataCheck | None = None,
    option_check: OptionCheck | None = None,
    overrides: Sequence[str] = (),
    *,
    searches: bool = True,
) -> StudyPlan:
    """The study that a composed configuration describes.

    Args:
        composed: Hydra's result from YAML files and overrides.
        earlier_problems: problems to report together with those of this function.
        data_check: reads the data too, so that its problems are reported with all others.
        option_check: checks the options of sampler and pruner; called only if there are any.
        overrides: the command line. `train.steps` there replaces a study's `train.epochs`, and `lora.alpha_ratio` its `lora.alpha`.
        searches: whether the plan is for a study, not for a single trial.

    Raises:
        ConfigurationError: with all problems.
        DataError: the configuration is right, the data is not.
    """
    composed = _without_replaced(composed, given_keys(overrides))
    config, wrong = typed(composed)
    if not searches:
        config = with_value(config, "search.space.method", ())
    # without its sets, hardly any target of a model is known
    unknown = [*wrong, *(("lora.targets", "search.space.targets") if "model.target_sets" in wrong else ())]
    unfitting = [*problems_in(config), *method_problems(config, given_keys(overrides), searches=searches)]
    problems = [*filter(None, wrong.values()), *(text for text in unfitting if not _is_about(text, unknown))]
    options = config.search.sampler_options or config.search.pruner_options
    if option_check and options and not any(text.startswith("search.") for text in (*problems, *earlier_problems)):
        problems += option_check(_search(config), _as(Training, config.train))
    in_data: Sequence[str] = ()
    if data_check and not any(text.startswith("task.") for text in (*problems, *earlier_problems)):
        in_data = data_check(_task(config))
    if earlier_problems or problems:
        raise ConfigurationError([*earlier_problems, *problems, *in_data])
    if in_data:
        raise DataError(in_data)
    compute = with_compute_type(
        config.quant, config.device, needs_float32=needs_float32(config), beside=ladder_quants(config)
    )
    config = dataclasses.replace(config, quant=compute)
    return dataclasses.replace(_plan(config, composed), given=frozenset(given_keys(overrides)))


def plan_of_record(recorded: str) -> StudyPlan:
    """The study that was recorded with this `StudyRecord.config`.

    Secrets are masked there, so databases other than files cannot be opened with this plan. The limits and the cores of this
    machine are not checked: the study has already run.

    Raises:
        ConfigurationError: the record is of a version with other keys.
    """
    composed = OmegaConf.create(recorded)
    assert isinstance(composed, DictConfig)
    config, wrong = typed(composed)
    if wrong:
        raise ConfigurationError(filter(None, wrong.values()))
    if OmegaConf.select(composed, "quant.compute") is None:
        config = dataclasses.replace(config, quant=with_former_type(config.quant, config.device))
    return _plan(config, composed)


def with_steps(plan: StudyPlan, training_examples: int) -> StudyPlan:
    """The plan with `train.epochs` resolved to steps; the plan itself if it has no epochs.

    Args:
        training_examples: examples in the training split, before those that are too long are left out.

    Raises:
        ConfigurationError: the steps are more than `train.steps` may be.
    """
    if plan.epochs is None:
        return plan
    per_step = plan.training.batch_size * plan.training.gradient_accumulation
    steps = max(1, math.ceil(round(plan.epochs * training_examples / per_step, 9)))
    limit = limits()["train.steps"]
    if not limit.allows(steps):
        raise ConfigurationError(f"train.epochs={plan.epochs:g}: results in train.steps={steps}, which must be {limit}")
    config = OmegaConf.create(plan.config)
    config.train.steps = steps
    training = dataclasses.replace(plan.training, steps=steps)
    return dataclasses.replace(plan, training=training, epochs=None, config=OmegaConf.to_yaml(config))


def with_ladder(plan: StudyPlan, ladder: Sequence[int], ladder_by: str) -> StudyPlan:
    """The plan with this ladder, whose smaller ranks are made in this way."""
    config = OmegaConf.create(plan.config)
    config.certify.ladder, config.certify.ladder_by = list(ladder), ladder_by
    declaration = dataclasses.replace(plan.declaration, ladder=tuple(ladder), ladder_by=ladder_by)
    return dataclasses.replace(plan, declaration=declaration, config=OmegaConf.to_yaml(config))


def with_compute(plan: StudyPlan, quant: Quantization) -> StudyPlan:
    """The plan with this quantization's `compute`."""
    if quant.compute == plan.setup.quant.compute:
        return plan
    config = OmegaConf.create(plan.config)
    config.quant.compute = quant.compute
    setup = dataclasses.replace(plan.setup, quant=dataclasses.replace(plan.setup.quant, compute=quant.compute))
    return dataclasses.replace(plan, setup=setup, config=OmegaConf.to_yaml(config))


def typed(composed: DictConfig) -> tuple[Config, dict[str, str | None]]:
    """The configuration in the types of the schema, and the problems of keys that do not fit.

    Returns:
        the configuration, with defaults in place of values that do not fit; and the problem of each such key, None if another
        key is the cause.
    """
    known = entries()
    values: dict[str, Any] = {}
    wrong: dict[str, str | None] = {}
    for key, node in _leaves(composed, known):
        if key not in known:
            wrong[key] = f"{key}: there is no such key{suggestion(key)}"
        elif node._value() == MISSING:
            wrong[key] = f"{key}: a value is needed; write {key}=..."
        else:
            try:
                value = _value(composed, key)
            except InterpolationToMissingValueError:
                wrong[key] = None
            except (OmegaConfBaseException, ValueError) as error:
                wrong[key] = f"{key}: {_first_line(error)}"
            else:
                values[key], problem = _read(known[key], value)
                if problem:
                    wrong[key] = problem
    values = {key: value for key, value in values.items() if key not in wrong}
    for key, entry in known.items():
        if entry.default == REQUIRED and key not in values:
            wrong.setdefault(key, f"{key}: a value is needed; write {key}=...")
            values[key] = ""
    return _built(Config, values), wrong


def _without_replaced(composed: DictConfig, given: Collection[str]) -> DictConfig:
    """The configuration without a study's epochs and alpha where the command line gives steps and alpha_ratio."""
    replaced = [key for key, other in ALTERNATIVES.items() if other in given and key not in given]
    if not replaced:
        return composed
    copy = composed.copy()
    OmegaConf.set_readonly(copy, False)
    for key in replaced:
        OmegaConf.update(copy, key, None)
    return copy


def _read(entry: Entry, value: Any) -> tuple[Any, str | None]:
    if value is None and entry.about.null is not None:
        return entry.about.null, None
    if problem := wrong_form(entry, value):
        return None, f"{entry.name}: {problem}"
    try:
        ranks = entry.name == LADDER and not holds_arms(value)
        return read_value(value, tuple[int, ...] if ranks else entry.type), None
    except ValueError as error:
        return None, f"{entry.name}={shortened(value)}: {error}"


def _built(record: type[R], values: Mapping[str, Any], prefix: str = "") -> R:
    """A record of the schema from values by full key; fields without a value have their defaults."""
    fields: dict[str, Any] = {}
    for name, entry in fields_of(record, prefix):
        if entry.is_section:
            fields[name] = _built(entry.type, values, f"{entry.name}.")
        elif entry.name in values:
            fields[name] = values[entry.name]
    return record(**fields)


def _is_about(problem: str, keys: Iterable[str]) -> bool:
    return any(problem.startswith((f"{key}:", f"{key}=", f"{key}.")) for key in keys)


def _leaves(composed: DictConfig, known: Mapping[str, Entry], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that is not a section, with its node; a section that is not a mapping counts as a key."""
    for name in map(str, composed):
        key = f"{prefix}{name}"
        section = _mapping(composed, name) if key in known and known[key].is_section else None
        if section is None:
            yield key, composed._get_node(name)
        else:
            yield from _leaves(section, known, f"{key}.")


def _mapping(composed: DictConfig, name: str) -> DictConfig | None:
    try:
        value = composed[name]
    except OmegaConfBaseException:
        return None
    return value if isinstance(value, DictConfig) else None


def _value(composed: DictConfig, key: str) -> Any:
    value = OmegaConf.select(composed, key, throw_on_missing=True)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _with_checkpointing_of_method(config: Config) -> Training:
    """The recipe, where `auto` is off with a method that cannot be trained with gradient checkpointing."""
    training = _as(Training, config.train)
    trained = (methods()[config.method.name], *(ladder_methods(config) if config.certify.enabled else ()))
    alone = not config.search.space.method  # the engine decides for each of several
    if training.leaves_checkpointing_open and alone and not all(method.checkpointing for method in trained):
        return dataclasses.replace(training, gradient_checkpointing=False)
    return training


def _plan(config: Config, composed: DictConfig) -> StudyPlan:
    model, certify, executor = config.model, config.certify, config.executor
    training, epochs = _with_checkpointing_of_method(config), config.train.epochs
    cores = available_cores()
    devices = devices_for(config.device)
    workers = chosen_workers(executor.workers, executor.threads, cores, devices)
    engine, note = engine_of(config)
    searched = searched_methods(config)
    return StudyPlan(
        name=config.study.name,
        setup=WorkerSetup(
            model=dataclasses.replace(model, id=model.id or model.name, path=_absolute(model.path)),
            quant=config.quant,
            task=_task(config),
            scoring=dataclasses.replace(config.evaluate, report_examples=config.search.report_examples),
            engine=engine,
            threads=executor.threads or max(1, cores // workers),
            memory_budget=byte_count(config.budget.memory) if config.budget.memory is not None else None,
            device=devices.kind.torch_type,
            workers_on_device=devices.workers_on_each(workers),
        ),
        training=training if epochs is None else dataclasses.replace(training, steps=UNKNOWN_STEPS),
        epochs=epochs,
        arm=searched[0].arm if searched else configured_arm(config),
        seed=config.seed,
        space=searched[0].space if searched else searched_space(config),
        search=_search_of(config),
        declaration=_declaration(config),
        tracking_uri=config.tracking.uri,
        system_metrics=config.tracking.system_metrics,
        storage_url=config.storage.url,
        wall_clock=seconds(config.budget.wall_clock) if config.budget.wall_clock is not None else None,
        workers=workers,
        threads_alone=executor.threads or cores,
        certify=certify.enabled,
        rate_trials=certify.rate_trials,
        first_look=certify.first_look,
        slots=1 if engine != config.engine.name else None if config.engine.slots == AUTO else config.engine.slots,
        measure_slots=config.engine.measure_slots,
        config=recorded_yaml(composed, config.quant.compute, searched),
        adds_examples=config.evaluate.certify_examples is None,
        dry_run=config.dry_run,
        notes=() if note is None else (note,),
        methods=searched,
    )


def _declaration(config: Config) -> Declaration:
    """Of a ladder of arms, in the order written: what they cost is known once the base is loaded."""
    arms = ladder_arms(config)
    if not arms:
        return _as(Declaration, config.certify)
    return _as(Declaration, dataclasses.replace(config.certify, ladder=(), ladder_by="train")).with_arms(arms)


def _search_of(config: Config) -> Search:
    """The arms of a ladder say what is compared, so nothing is searched."""
    if config.certify.enabled and holds_arms(config.certify.ladder):
        return dataclasses.replace(_search(config), trials=0)
    return dataclasses.replace(_search(config), arms=first_arms(config))


def _search(config: Config) -> Search:
    """Without its first arms."""
    return dataclasses.replace(_as(Search, config.search), arms=())


def _task(config: Config) -> TaskData:
    replay = (_absolute(config.train.replay_path) or "") if config.train.replay else None
    return dataclasses.replace(config.task, path=_absolute(config.task.path), replay=replay)


def _absolute(path: str | None) -> str | None:
    return str(Path(path).expanduser().absolute()) if path else None


def _as(record: type[R], section: Any) -> R:
    """The record that a section of the schema extends, without the section's own keys."""
    return record(**{field.name: getattr(section, field.name) for field in dataclasses.fields(record)})  # type: ignore[arg-type]
