"""What a configuration must mean, beyond having the right types. Pure: reads no files but the task's folder name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.config.arms import arm_problems
from sweep.config.cores import AUTO, available_cores, chosen_workers
from sweep.config.limits import LIMITS, limit_problems, within_limits
from sweep.config.schema import SweepKeys
from sweep.config.targets import resolve_targets
from sweep.config.units import byte_count, seconds
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.records import METHODS, TWO_RATES
from sweep.store.database_drivers import url_problem
from sweep.store.paths import checked_name
from tasks.metrics import METRICS

SAMPLERS = ("tpe", "random", "grid", "gp", "qmc", "nsga2")
PRUNERS = ("none", "median", "percentile", "hyperband", "wilcoxon")
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
ANSWERS = ("auto", "generate", "likelihood", "none")
MARGINS = ("gain", "loss", "metric")


def problems_in(keys: SweepKeys) -> list[str]:
    """Everything that is wrong with a configuration of the right types; empty if it can be run."""
    return [
        *_choices(keys),
        *_method(keys),
        *limit_problems(keys),
        *_budgets(keys),
        *_executor(keys),
        *_engine(keys),
        *_spaces(keys),
        *arm_problems(keys),
        *_targets(keys),
        *_data(keys),
        *_texts(keys),
    ]


def _choices(keys: SweepKeys) -> Iterator[str]:
    for key, value, known in (
        ("task.metric", keys.task.metric, METRICS),
        ("task.kind", keys.task.kind, ("builtin", "jsonl", "hub")),
        ("model.source", keys.model.source, ("auto", "hub", "wheel", "made")),
        ("quant.name", keys.quant.name, ("nf4", "int8", "none")),
        ("quant.cache", keys.quant.cache, ("auto", "always", "never")),
        ("method.name", keys.method.name, METHODS),
        ("engine.name", keys.engine.name, ("packed", "trainer")),
        ("executor.name", keys.executor.name, ("local",)),
        ("search.sampler", keys.search.sampler, SAMPLERS),
        ("search.pruner", keys.search.pruner, PRUNERS),
        ("evaluate.answers", keys.evaluate.answers, ANSWERS),
        ("train.schedule", keys.train.schedule, SCHEDULES),
        ("certify.margin_of", keys.certify.margin_of, MARGINS),
    ):
        if value not in known:
            yield f"{key}={value}: unknown{did_you_mean(value, known)} (known: {', '.join(known)})"


def _method(keys: SweepKeys) -> Iterator[str]:
    """A key of a method belongs to that method alone."""
    name, ratio = keys.method.name, keys.method.loraplus_lr_ratio
    if name in TWO_RATES:
        if ratio is None:
            yield f"method.loraplus_lr_ratio: a value is needed with method={name}; write method.loraplus_lr_ratio=16"
        elif not LIMITS["method.loraplus_lr_ratio"].allows(ratio):
            limit = LIMITS["method.loraplus_lr_ratio"]
            yield f"method.loraplus_lr_ratio={ratio}: must be {limit}: B learns so many times as fast as A"
    elif name in METHODS and ratio is not None:
        other = "rslora_plus" if name == "rslora" else "lora_plus"
        yield f"method.loraplus_lr_ratio={ratio}: method={name} has one learning rate; write method={other}, or leave it out"


def _budgets(keys: SweepKeys) -> Iterator[str]:
    for key, text, read in (
        ("budget.wall_clock", keys.budget.wall_clock, seconds),
        ("budget.memory", keys.budget.memory, byte_count),
    ):
        if text is not None:
            try:
                read(text)
            except ValueError as error:
                yield f"{key}: {error}"


def _executor(keys: SweepKeys) -> Iterator[str]:
    """Threads of all workers together must not be more than the cores: they would spin against one another."""
    cores, asked, threads = available_cores(), keys.executor.workers, keys.executor.threads
    if not _auto_or_count(asked):
        yield f"executor.workers={asked}: must be a whole number above zero, or {AUTO}"
        return
    workers = chosen_workers(asked, threads, cores)
    if workers > cores:
        yield f"executor.workers={workers}: this machine has {cores} cores; a worker needs one of its own"
    elif threads is not None and workers * threads > cores:
        yield (
            f"executor.threads={threads}: with executor.workers={workers} that is {workers * threads} threads on {cores} "
            f"cores, which slow each other down; write {max(1, cores // workers)} at most, or null"
        )


def _engine(keys: SweepKeys) -> Iterator[str]:
    slots = keys.engine.slots
    if not _auto_or_count(slots):
        yield f"engine.slots={slots}: must be a whole number above zero, or auto: as many as are fastest and fit into memory"
    elif slots != AUTO and not LIMITS["engine.slots"].allows(slots):
        yield f"engine.slots={slots}: must be {LIMITS['engine.slots']}, or auto"
    elif keys.engine.name == "trainer" and slots != 1:
        yield f"engine.slots={slots}: engine=trainer trains one trial at a time; leave engine.slots out, or write engine=packed"


def _auto_or_count(value: Any) -> bool:
    return value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _spaces(keys: SweepKeys) -> Iterator[str]:
    space = keys.search.space
    for key, values in (
        ("search.space.rank", space.rank),
        ("search.space.alpha_ratio", space.alpha_ratio),
        ("search.space.dropout", space.dropout),
        ("search.space.targets", space.targets),
        ("certify.ladder", keys.certify.ladder),
    ):
        if not values:
            yield f"{key}: at least one value is needed"
        elif len(set(values)) != len(values):
            yield f"{key}={list(values)}: a value stands there twice"
    if within_limits("search.space.rank", space.rank):
        yield from _searched_ranks("search.space.rank", space.rank)
    if within_limits("certify.ladder", keys.certify.ladder):
        yield from _ladder(keys)
    low, high = space.learning_rate.low, space.learning_rate.high
    if low > high:
        yield f"search.space.learning_rate: low={low:g} and high={high:g}: low must not be above high"


def _searched_ranks(key: str, ranks: Sequence[int]) -> Iterator[str]:
    """They are searched by their logarithm, in even steps."""
    if any(rank & (rank - 1) for rank in ranks):
        yield f"{key}={list(ranks)}: searched ranks are powers of two (1, 2, 4, 8, ...)"
    elif not _ascending(ranks):
        yield f"{key}={list(ranks)}: write the ranks in ascending order"
    elif len({later // earlier for earlier, later in itertools.pairwise(ranks)}) > 1:
        yield f"{key}={list(ranks)}: each rank must be the same multiple of the one before, as in [2,4,8] or [4,16,64]"


def _ladder(keys: SweepKeys) -> Iterator[str]:
    key, ranks = "certify.ladder", keys.certify.ladder
    if not _ascending(ranks):
        yield f"{key}={list(ranks)}: write the ranks in ascending order"
    elif len(ranks) == 1 and keys.certify.enabled:
        smaller, larger = (ranks[0] // 2, ranks[0]) if ranks[0] > 1 else (1, 2)
        yield (
            f"{key}={list(ranks)}: one rank has no other to be compared with, so there would be no verdict; write at least "
            f"two, as in {key}=[{smaller},{larger}], or certify=none to search without a verdict"
        )


def _ascending(ranks: Sequence[int]) -> bool:
    return all(earlier < later for earlier, later in itertools.pairwise(ranks))


def _targets(keys: SweepKeys) -> Iterator[str]:
    known = keys.model.linear_modules
    entries = [("lora.targets", keys.lora.targets)] + [
        ("search.space.targets", entry) for entry in keys.search.space.targets
    ]
    for key, value in entries:
        if not isinstance(value, str | list):
            yield f"{key}={value}: write a set's name ({', '.join(keys.model.target_sets)}) or module names"
            continue
        names = resolve_targets(value, keys.model.target_sets)
        if not names:
            yield f"{key}: at least one module is needed"
        for name in names:
            if known and name.rsplit(".", 1)[-1] not in known:
                sets = list(keys.model.target_sets)
                yield (
                    f"{key}: {keys.model.name} has no linear module or set '{name}'{did_you_mean(name, [*known, *sets])} "
                    f"(sets: {', '.join(sets)}; modules: {', '.join(known)})"
                )


def _data(keys: SweepKeys) -> Iterator[str]:
    if not keys.model.id and not keys.model.path:
        yield "model.id: a value is needed; write model.id=ORG/NAME, or model.path=FOLDER"
    if keys.task.kind == "jsonl" and not keys.task.path:
        yield "task.path: a value is needed; write task.path=FOLDER"
    if keys.evaluate.answers == "none" and keys.certify.enabled and keys.certify.margin_of == "metric":
        yield "evaluate.answers=none: a margin in points of the task metric (certify.margin_of=metric) needs answers"
    if keys.task.kind == "hub" and not keys.task.dataset:
        yield "task.dataset: a value is needed; write task.dataset=ORG/NAME"


def _texts(keys: SweepKeys) -> Iterator[str]:
    if keys.storage.url is not None and (problem := url_problem("storage.url", keys.storage.url)):
        yield problem
    try:
        checked_name(keys.study.name)
    except ConfigurationError as error:
        yield f"study.name: {error}"
