"""Whether a configuration of the right types makes sense. Pure: reads no files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from sweep.config.arms import alpha_ratio, arm_problems
from sweep.config.cores import available_cores, chosen_workers
from sweep.config.devices import AUTO, CHOICES, device_problems, devices_for
from sweep.config.forgetting import forgetting_problems
from sweep.config.keys import entries, limits, must_be
from sweep.config.ladder_arms import LADDER, holds_arms
from sweep.config.rank_patterns import pattern_problems
from sweep.config.schema import Config
from sweep.config.targets import resolve_targets
from sweep.config.units import byte_count, seconds
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.records.evaluation import LEAST_PARAGRAPHS, PARAGRAPHS
from sweep.records.training import AUTO_CHECKPOINTING
from sweep.store.database_drivers import url_problem
from sweep.store.paths import checked_name
from tasks import scoring

MOST_VALUES = 64
"""Maximum number of values of a list in the search space, or of the ladder."""

PERPLEXITY = "perplexity"

_CHECKED_APART = ("engine.slots",)
"""Keys whose limits depend on other keys, or that also take a word."""


def problems_in(config: Config) -> list[str]:
    """Everything that is wrong with a configuration of the right types; empty if it can be run."""
    return [
        *_choices(config),
        *_limits(config),
        *_alpha(config),
        *_budgets(config),
        *_device(config),
        *_executor(config),
        *_engine(config),
        *_checkpointing(config),
        *forgetting_problems(config),
        *_spaces(config),
        *arm_problems(config),
        *_targets(config),
        *pattern_problems(config.lora),
        *_data(config),
        *_texts(config),
    ]


def _value(config: Config, key: str) -> Any:
    return reduce(getattr, key.split("."), config)


def _choices(config: Config) -> Iterator[str]:
    for key, entry in entries().items():
        choices = entry.about.choices
        if key == "task.metric" and config.task.metric == PERPLEXITY:
            yield _perplexity(choices)
            continue
        if key == "task.metric" and scoring.is_own(config.task.metric):
            continue
        if choices and (value := _value(config, key)) is not None and value not in choices:
            yield f"{key}={value}: unknown{did_you_mean(value, choices)} (known: {', '.join(choices)})"


def _perplexity(metrics: Sequence[str]) -> str:
    return (
        f"task.metric={PERPLEXITY}: no score of answers, from 0 to 1, but the exponential of the loss, and measured with every loss: "
        f"see the study's page, or {PERPLEXITY} in MLflow; choose a metric for the answers (known: {', '.join(metrics)})"
    )


def _limits(config: Config) -> Iterator[str]:
    for key, limit in limits().items():
        value = _value(config, key)
        if key in _CHECKED_APART or value is None or (key == LADDER and holds_arms(value)):
            continue
        if isinstance(value, Mapping):
            for name, each in value.items():
                if not limit.allows(each):
                    yield f"{key}={{{name}: {each:g}}}: must be {limit}"
        elif not isinstance(value, tuple):
            if not limit.allows(value):
                yield f"{key}={value}: must be {must_be(entries()[key])}"
        elif len(value) > MOST_VALUES:
            yield f"{key}: has {len(value)} values; at most {MOST_VALUES} are possible"
        elif not all(map(limit.allows, value)):
            yield f"{key}={list(value)}: every value must be {limit}"


def _within_limits(key: str, values: Sequence[float]) -> bool:
    return len(values) <= MOST_VALUES and all(map(limits()[key].allows, values))


def _alpha(config: Config) -> Iterator[str]:
    alpha, r, limit = config.lora.alpha, config.lora.r, limits()["lora.alpha_ratio"]
    if alpha is None or not limits()["lora.r"].allows(r) or not limits()["lora.alpha"].allows(alpha):
        return
    if not limit.allows(alpha_ratio(config)):
        yield f"lora.alpha={alpha:g}: with lora.r={r} that is lora.alpha_ratio={alpha / r:g}, which must be {limit}"


def _budgets(config: Config) -> Iterator[str]:
    for key, text, read in (
        ("budget.wall_clock", config.budget.wall_clock, seconds),
        ("budget.memory", config.budget.memory, byte_count),
    ):
        if text is not None:
            try:
                read(text)
            except ValueError as error:
                yield f"{key}: {error}"


def _device(config: Config) -> Iterator[str]:
    if config.device in CHOICES:
        yield from device_problems(config.device, config.quant.name, config.quant.compute)


def _executor(config: Config) -> Iterator[str]:
    """More threads than cores would slow each other down."""
    cores, requested, threads = available_cores(), config.executor.workers, config.executor.threads
    if not _auto_or_count(requested):
        yield f"executor.workers={requested}: must be a whole number above zero, or {AUTO}"
        return
    workers = chosen_workers(requested, threads, cores, devices_for(config.device))
    if workers > cores:
        yield f"executor.workers={workers}: this machine has {cores} cores, and each worker needs one"
    elif threads is not None and workers * threads > cores:
        yield (
            f"executor.threads={threads}: with executor.workers={workers} that is {workers * threads} threads on {cores} "
            f"cores, which slow each other down; write {max(1, cores // workers)} at most, or null"
        )


def _engine(config: Config) -> Iterator[str]:
    slots, limit = config.engine.slots, limits()["engine.slots"]
    if not _auto_or_count(slots):
        yield f"engine.slots={slots}: must be a whole number above zero, or auto: as many as are fastest and fit into memory"
    elif slots != AUTO and not limit.allows(slots):
        yield f"engine.slots={slots}: must be {limit}, or auto"
    elif config.engine.name == "trainer" and slots != 1:
        yield f"engine.slots={slots}: engine=trainer trains one trial at a time; leave engine.slots out, or write engine=packed"


def _checkpointing(config: Config) -> Iterator[str]:
    value = config.train.gradient_checkpointing
    if not isinstance(value, bool) and value != AUTO_CHECKPOINTING:
        yield f"train.gradient_checkpointing={value}: must be true, false or {AUTO_CHECKPOINTING}"


def _auto_or_count(value: Any) -> bool:
    return value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _spaces(config: Config) -> Iterator[str]:
    space = config.search.space
    for key, values in (
        ("search.space.rank", space.rank),
        ("search.space.alpha_ratio", space.alpha_ratio),
        ("search.space.dropout", space.dropout),
        ("search.space.targets", space.targets),
        (LADDER, () if holds_arms(config.certify.ladder) else config.certify.ladder),
    ):
        if not values and key == LADDER and config.certify.ladder:  # of arms
            continue
        if not values:
            yield f"{key}: at least one value is needed"
        elif len(set(values)) != len(values):
            yield f"{key}={list(values)}: a value is repeated; write each once"
    if _within_limits("search.space.rank", space.rank):
        yield from _searched_ranks("search.space.rank", space.rank)
    if not holds_arms(config.certify.ladder) and _within_limits(LADDER, config.certify.ladder):
        yield from _ladder(config)
    low, high = space.learning_rate.low, space.learning_rate.high
    if low > high:
        yield f"search.space.learning_rate: low={low:g} and high={high:g}: low must not be above high"


def _searched_ranks(key: str, ranks: Sequence[int]) -> Iterator[str]:
    """The search uses log2(rank) in even steps."""
    if any(rank & (rank - 1) for rank in ranks):
        yield f"{key}={list(ranks)}: searched ranks are powers of two (1, 2, 4, 8, ...)"
    elif not _ascending(ranks):
        yield f"{key}={list(ranks)}: write the ranks in ascending order"
    elif len({later // earlier for earlier, later in itertools.pairwise(ranks)}) > 1:
        yield f"{key}={list(ranks)}: each rank must be the same multiple of the one before, as in [2,4,8] or [4,16,64]"


def _ladder(config: Config) -> Iterator[str]:
    key, ranks = "certify.ladder", config.certify.ladder
    if not _ascending(ranks):
        yield f"{key}={list(ranks)}: write the ranks in ascending order"
    elif len(ranks) == 1 and config.certify.enabled:
        smaller, larger = (ranks[0] // 2, ranks[0]) if ranks[0] > 1 else (1, 2)
        yield (
            f"{key}={list(ranks)}: a verdict compares at least two ranks; write {key}=[{smaller},{larger}], or certify=none to "
            "search without a verdict"
        )


def _ascending(ranks: Sequence[int]) -> bool:
    return all(earlier < later for earlier, later in itertools.pairwise(ranks))


def _targets(config: Config) -> Iterator[str]:
    model = config.model
    known, sets = model.linear_modules, model.target_sets
    for key, value in [
        ("lora.targets", config.lora.targets),
        *(("search.space.targets", entry) for entry in config.search.space.targets),
        *((LADDER, arm["targets"]) for arm in config.certify.ladder if isinstance(arm, dict) and arm.get("targets")),
    ]:
        if not isinstance(value, str | list):
            yield f"{key}={value}: write a set's name ({', '.join(sets)}) or module names"
            continue
        names = resolve_targets(value, sets)
        if not names:
            yield f"{key}: at least one module is needed"
        for name in names:
            if known and name.rsplit(".", 1)[-1] not in known:
                yield (
                    f"{key}: {model.name} has no linear module or set '{name}'{did_you_mean(name, [*known, *sets])} "
                    f"(sets: {', '.join(sets)}; modules: {', '.join(known)})"
                )


def _data(config: Config) -> Iterator[str]:
    if not config.model.id and not config.model.path:
        yield "model.id: a value is needed; write model.id=ORG/NAME, or model.path=FOLDER"
    if config.task.kind in ("jsonl", "data") and not config.task.path:
        yield f"task.path: a value is needed; write task.path={'FOLDER' if config.task.kind == 'jsonl' else 'FILE'}"
    if config.task.kind != "data":
        for key, value in (("columns", config.task.columns), ("group_column", config.task.group_column)):
            if value:
                yield f"task.{key}: is for task=data; leave it out, or write task=data task.path=FILE"
    if config.task.kind == "hub" and not config.task.dataset:
        yield "task.dataset: a value is needed; write task.dataset=ORG/NAME"
    trains_each = config.certify.ladder_by == "train" and not holds_arms(config.certify.ladder)
    if config.certify.confirm and config.certify.enabled and trains_each:
        yield "certify.confirm=true: with certify.ladder_by=train every rank is trained from the start; leave one of them out"
    if config.evaluate.answers == "none" and config.certify.enabled and config.certify.margin_of == "metric":
        yield "evaluate.answers=none: a margin in points of the task metric (certify.margin_of=metric) needs answers"
    paragraphs = config.evaluate.general_paragraphs
    if config.certify.enabled and config.certify.max_forgetting is not None and paragraphs < LEAST_PARAGRAPHS:
        yield (
            f"evaluate.general_paragraphs={paragraphs}: a limit of forgetting (certify.max_forgetting) needs at least {LEAST_PARAGRAPHS}; "
            f"write evaluate.general_paragraphs={PARAGRAPHS}, all there are, for the most precise test"
        )


def _texts(config: Config) -> Iterator[str]:
    if config.storage.url is not None and (problem := url_problem("storage.url", config.storage.url)):
        yield problem
    try:
        checked_name(config.study.name)
    except ConfigurationError as error:
        yield f"study.name: {error}"
