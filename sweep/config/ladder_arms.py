"""The arms of a ladder of arms: what an entry of `certify.ladder` says, checked, and its name for people."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sweep.config.arms import FIELDS, configured_arm
from sweep.config.compute import BFLOAT16, FLOAT32
from sweep.config.devices import device_problems, devices_for
from sweep.config.forgetting import refused_recipe
from sweep.config.keys import Entry, entries, must_be, read_value
from sweep.config.method_values import config_of, method_values, with_value
from sweep.config.rank_patterns import KEYS as PATTERNS
from sweep.config.rank_patterns import pattern_problems
from sweep.config.schema import Config
from sweep.config.searched_methods import because
from sweep.config.targets import set_name
from sweep.console.suggest import did_you_mean
from sweep.methods import ALPHA, DROPOUT, INIT, RANK, TARGETS, Method, methods, on_own_base, title_of
from sweep.methods.initialization import INITIALIZATIONS
from sweep.methods.module_ranks import pattern_words
from sweep.records import Arm, LadderArm
from sweep.records.quants import KINDS, QUANTS

LADDER = "certify.ladder"
_METHOD = "method"
_QUANT = "quant"
_OF_LORA = {
    "r": RANK,
    "alpha_ratio": ALPHA,
    "dropout": DROPOUT,
    "targets": TARGETS,
    **{field: field for field in PATTERNS},
}
_FREE_FORM = ("lora.targets", PATTERNS["layers"])
"""Keys whose values are read apart."""


def holds_arms(ladder: Any) -> bool:
    """Whether the ladder is one of arms; entries of another kind in it are mistakes."""
    return isinstance(ladder, list | tuple) and any(isinstance(entry, Mapping) for entry in ladder)


def ladder_arms(config: Config) -> tuple[LadderArm, ...]:
    """The arms of a ladder without problems, in the order written; none if it is one of ranks."""
    if not holds_arms(config.certify.ladder):
        return ()
    configs = [_config_of(entry, config) for entry in config.certify.ladder]
    arms = [_arm_of(entry, config) for entry in config.certify.ladder]
    words = _names(arms, config.model.target_sets)
    return tuple(
        LadderArm(arm, name, each.train.learning_rate, _rates(each))
        for arm, name, each in zip(arms, words, configs, strict=True)
    )


def ladder_methods(config: Config) -> tuple[Method, ...]:
    """The methods of a ladder of arms, each once; none if it is one of ranks."""
    if not holds_arms(config.certify.ladder):
        return ()
    names = (entry.get(_METHOD) for entry in config.certify.ladder if isinstance(entry, Mapping))
    return tuple(methods()[name] for name in dict.fromkeys(names) if isinstance(name, str) and name in methods())


def ladder_quants(config: Config) -> tuple[str, ...]:
    """The quantizations that arms of the ladder have instead of the study's, each once; none if it is one of ranks."""
    if not (config.certify.enabled and holds_arms(config.certify.ladder)):
        return ()
    named = (entry.get(_QUANT) for entry in config.certify.ladder if isinstance(entry, Mapping))
    return tuple(dict.fromkeys(name for name in named if name in QUANTS and name != config.quant.name))


def ladder_arm_problems(config: Config, given: Collection[str]) -> Iterator[str]:
    """Problems of a ladder of arms: its entries, what they are combined with, and keys that mean nothing for it.

    Args:
        given: the keys that the command line sets.
    """
    ladder = config.certify.ladder
    if not config.certify.enabled or not holds_arms(ladder):
        return
    if len(ladder) < 2:
        yield f"{LADDER}: a verdict compares at least two arms; add another, or write certify=none to search without a verdict"
    seen: dict[Arm, int] = {}
    for number, entry in enumerate(ladder, 1):
        problems = list(_entry_problems(entry, config))
        yield from (f"{LADDER}: arm {number}{problem}" for problem in problems)
        if problems:
            continue
        arm = _arm_of(entry, config)
        earlier = seen.setdefault(arm, number)
        if earlier != number:
            yield f"{LADDER}: arm {number} is the same as arm {earlier}, so both cost the same; write it once"
    if "certify.ladder_by" in given and config.certify.ladder_by == "cut":
        yield "certify.ladder_by=cut: arms of a ladder are each trained, not cut from one another; leave it out"
    for key in ("search.trials", "search.arms"):
        if key in given:
            yield f"{key}: nothing is searched with a ladder of arms, which are recipes themselves; leave it out"
    if config.certify.confirm:
        yield "certify.confirm=true: every arm of the ladder is trained from the start; leave it out"


def _entry_problems(entry: Any, config: Config) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f" is '{entry}'; write {{method: lora, r: {entry if isinstance(entry, int) else 8}}}, or only ranks"
        return
    name = entry.get(_METHOD)
    if name is None:
        yield f": the method is missing; write {{method: lora, ...}} (methods: {', '.join(methods())})"
        return
    method = methods().get(str(name))
    if method is None:
        yield f": there is no method '{name}'{did_you_mean(str(name), methods())} (known: {', '.join(methods())})"
        return
    fields = _fields(method)
    known = (*fields, _QUANT)
    for field in map(str, entry):
        if field != _METHOD and field not in known:
            listed = ", ".join(known)
            yield f": method={method.name} has no field '{field}'{did_you_mean(field, known)} (fields: {listed})"
    for field, key in fields.items():
        if field in entry and (problem := _value_problem(key, entry[field])):
            yield f": {field}={entry[field]}: {problem}"
    if not any(field in entry and _value_problem(key, entry[field]) for field, key in fields.items()):
        patterned = any(field in entry for field in PATTERNS)
        yield from (f": {problem}" for problem in pattern_problems(_config_of(entry, config).lora, "") if patterned)
    for own in method.own_keys():
        if own.default is None and own.name not in entry and getattr(_of_method(name, config).method, own.name) is None:
            yield f": {own.name}: a value is needed, as in {own.name}: {own.about.example}"
    if _QUANT in entry and (problem := _value_problem("quant.name", entry[_QUANT])):
        yield f": quant={entry[_QUANT]}: {problem}"
        return
    quant = str(entry.get(_QUANT, config.quant.name))
    yield from _quant_of_study(method, config) if quant == config.quant.name else _on_own_base(method, quant, config)
    yield from _combinations(method, quant, config)


def _value_problem(key: str, value: Any) -> str | None:
    entry = entries()[key]
    if key == "lora.targets":
        return None if isinstance(value, str | list) and value else "write a set's name or module names"
    if key == PATTERNS["layers"]:  # see `pattern_problems`
        return None
    if key in PATTERNS.values():
        return _patterns_problem(entry, value)
    if value is None or isinstance(value, list | Mapping):
        return "write one value"
    try:
        read = read_value(value, entry.type)
    except ValueError as error:
        return str(error)
    if entry.about.limit is not None and not entry.about.limit.allows(read):
        return f"must be {must_be(entry)}".removesuffix(", or null")
    if entry.about.choices and read not in entry.about.choices:
        return f"unknown{did_you_mean(str(read), entry.about.choices)} (known: {', '.join(entry.about.choices)})"
    return None


def _patterns_problem(entry: Entry, value: Any) -> str | None:
    """Why a value is no mapping of patterns to numbers within their limits."""
    if not isinstance(value, Mapping):
        return f"write values by pattern, as in {entry.about.example}"
    try:
        read = read_value(value, entry.type)
    except ValueError as error:
        return f"each value {error}"
    limit = entry.about.limit
    return None if limit is None or all(map(limit.allows, read.values())) else f"every value must be {limit}"


def _quant_of_study(method: Method, config: Config) -> Iterator[str]:
    """Whether an arm without a quantization of its own takes the study's."""
    if config.quant.name in set(QUANTS) - set(method.quants):
        shared = [name for name in QUANTS if all(name in other.quants for other in ladder_methods(config))]
        all_take = f"quant={shared[0]}, which all arms take, or " if shared else ""
        yield (
            f": method={method.name} cannot be combined with quant={config.quant.name}{because(method, 'quants')}; write {all_take}"
            f"quant: {method.quants[0]} in the arm"
        )


def _on_own_base(method: Method, own: str, config: Config) -> Iterator[str]:
    """What an arm's own quantization cannot be combined with."""
    if own not in method.quants:
        yield (
            f": method={method.name} cannot be combined with quant={own}{because(method, 'quants')}; write "
            f"quant: {method.quants[0]} in the arm"
        )
    elif config.quant.name in set(QUANTS) - set(method.quants) and not method.trains_base:
        yield (
            f": the sizes of adapters are found on the study's base, and method={method.name} cannot be combined with "
            f"quant={config.quant.name}{because(method, 'quants')}; write quant={own} for the study, and quant: {config.quant.name} in "
            "other arms"
        )
    if KINDS[own].whole_numbers and config.quant.compute == BFLOAT16 and not devices_for(config.device).kind.is_gpu:
        yield (
            f": quant={own}: cannot be combined with quant.compute=bfloat16: a processor multiplies whole numbers; write "
            f"quant.compute={FLOAT32}, or leave it out"
        )
    init = INITIALIZATIONS.get(config.lora.init) if INIT in method.lora else None
    if init is not None and own not in init.quants:
        yield f": quant={own}: cannot be combined with lora.init={init.name}: {init.why_not}; write lora.init=default"
    yield from (
        f": {problem}"
        for problem in device_problems(config.device, own, config.quant.compute)
        if problem.startswith("quant=")
    )


def _combinations(method: Method, quant: str, config: Config) -> Iterator[str]:
    """What else an arm's method cannot be combined with."""
    if method.float32 and config.quant.compute == BFLOAT16 and quant in method.quants:
        yield (
            f": method={method.name} cannot be combined with quant.compute=bfloat16{because(method, 'float32')}; write "
            f"quant.compute={FLOAT32}, or leave it out"
        )
    if config.train.gradient_checkpointing is True and not method.checkpointing:
        yield (
            f": method={method.name} cannot be combined with train.gradient_checkpointing=true{because(method, 'checkpointing')}; "
            "leave it out"
        )
    for key, lacks in refused_recipe(config, method):
        yield f": method={method.name} cannot be combined with {key}{because(method, lacks)}; leave one of them out"


def _fields(method: Method) -> dict[str, str]:
    """The fields that an arm of the method has, and the key of each."""
    known = {**FIELDS, **PATTERNS}
    lora = {field: key for field, key in known.items() if field not in _OF_LORA or _OF_LORA[field] in method.lora}
    return lora | {own.name: f"method.{own.name}" for own in method.own_keys()}


def _of_method(name: str, config: Config) -> Config:
    """The configuration with another method; that of the study's own method as it is."""
    if name == config.method.name:
        return config
    blank: dict[str, Any] = {own.name: None for own in dataclasses.fields(config.method) if own.name != "name"}
    bare = dataclasses.replace(config, method=dataclasses.replace(config.method, **blank))
    return config_of(_without_its_rates(bare), name)


def _without_its_rates(config: Config) -> Config:
    """The configuration without the rates that the study's own method has brought along: another method has others."""
    for key in method_values(config.method.name) if config.method.name in methods() else ():
        if not key.startswith("method."):
            config = with_value(config, key, entries()[key].default)
    return config


def _arm_of(entry: Mapping[str, Any], config: Config) -> Arm:
    """The arm of an entry without problems; a quantization that is the study's is none of its own."""
    arm = dataclasses.replace(configured_arm(_config_of(entry, config)), learning_rate=0.0)
    own = entry.get(_QUANT)
    return dataclasses.replace(arm, quant=None if own == config.quant.name else own)


def _config_of(entry: Mapping[str, Any], config: Config) -> Config:
    """The configuration of an arm without problems, as if it were trained alone."""
    method = methods()[entry[_METHOD]]
    own = _of_method(method.name, config)
    if "alpha_ratio" in entry:
        own = with_value(own, "lora.alpha", None)
    for field, key in _fields(method).items():
        if field in entry:
            value = entry[field] if key in _FREE_FORM else read_value(entry[field], entries()[key].type)
            own = with_value(own, key, value)
    return own


def _rates(config: Config) -> tuple[float, float]:
    """The range of the method's search, which reaches at least to the arm's own rate."""
    rates, own = config.search.space.learning_rate, config.train.learning_rate
    return min(rates.low, own), max(rates.high, own)


def _names(arms: Sequence[Arm], sets: Mapping[str, Sequence[str]]) -> list[str]:
    """Short names, all different: the method, its rank or tokens, and whatever else two arms of that name differ in."""
    short = [_name(arm) for arm in arms]
    counts = Counter(short)
    return [
        name if counts[name] == 1 else _longer(name, arm, [other for other in arms if _name(other) == name], sets)
        for name, arm in zip(short, arms, strict=True)
    ]


def _name(arm: Arm) -> str:
    searched = methods()[arm.method].space
    own = [f"{value} {name}" for name, value in arm.own if name in searched]
    own += filter(None, [pattern_words(arm)])
    at = f" at rank {arm.rank}" if arm.rank else ""
    return _with_details(f"{title_of(arm)}{at}{on_own_base(arm)}", own)


def _in_full(patterns: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{pattern} {value:g}" for pattern, value in patterns)


def _with_details(name: str, details: Sequence[str]) -> str:
    """The name with details in brackets, after those it has already."""
    if not details:
        return name
    return (
        f"{name.removesuffix(')')}, {', '.join(details)})" if name.endswith(")") else f"{name} ({', '.join(details)})"
    )


def _longer(name: str, arm: Arm, others: Sequence[Arm], sets: Mapping[str, Sequence[str]]) -> str:
    def differs(field: str) -> bool:
        return len({getattr(other, field) for other in others}) > 1

    parts = [f"on {set_name(arm.targets, sets)}"] if differs("targets") else []
    parts += [f"alpha {arm.alpha:g}"] if differs("alpha_ratio") else []
    parts += [f"dropout {arm.dropout:g}"] if differs("dropout") else []
    parts += [f"ratio {arm.loraplus_lr_ratio:g}"] if differs("loraplus_lr_ratio") else []
    parts += [_in_full(arm.rank_pattern)] if differs("rank_pattern") and arm.rank_pattern else []
    parts += [f"alphas {_in_full(arm.alpha_pattern)}"] if differs("alpha_pattern") and arm.alpha_pattern else []
    searched = methods()[arm.method].space
    for key, value in arm.own:
        if key not in searched and len({dict(other.own)[key] for other in others}) > 1:
            parts.append(f"{key} {value}")
    return _with_details(name, parts)
