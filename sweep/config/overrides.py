"""Checks the words of the command line before Hydra composes.

Hydra stops at the first word that it does not know. Here all are checked, and each unknown one gets a suggestion.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep
from hydra.errors import HydraException

from sweep.config.groups import groups
from sweep.config.keys import OPEN_KEYS, Entry, entries, shortened
from sweep.console.command_line import pasteable
from sweep.console.suggest import did_you_mean
from sweep.records.braces import name_in_braces

ADDED_GROUPS = ("study",)
"""Groups without a default option, which Hydra wants with a plus."""

ALTERNATIVES = {"train.epochs": "train.steps", "lora.alpha": "lora.alpha_ratio"}
"""Keys that each replace another one; only one of the two can be given on the command line."""

SYNONYMS: Mapping[str, str] = {
    "lr": "train.learning_rate",
    "num_train_epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "max_steps": "train.steps",
    "num_steps": "train.steps",
    "per_device_train_batch_size": "train.batch_size",
    "bs": "train.batch_size",
    "grad_accum": "train.gradient_accumulation",
    "gradient_accumulation_steps": "train.gradient_accumulation",
    "lr_scheduler": "train.schedule",
    "lr_scheduler_type": "train.schedule",
    "scheduler": "train.schedule",
    "warmup_ratio": "train.warmup_fraction",
    "rank": "lora.r",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "target_modules": "lora.targets",
    "layers_to_transform": "lora.layers",
    "use_rslora": "method",
    "ranks": "search.space.rank",
    "learning_rates": "search.space.learning_rate",
    "n_trials": "search.trials",
    "num_trials": "search.trials",
    "n_seeds": "certify.seeds",
    "num_seeds": "certify.seeds",
    "random_seed": "seed",
    "base_model": "model",
    "model_name": "model",
    "model_id": "model.id",
    "model_path": "model.path",
    "model_name_or_path": "model.path",
    "data": "task",
    "dataset": "task",
    "dataset_name": "task.dataset",
    "data_path": "task.path",
    "max_seq_length": "task.max_length",
    "quantization": "quant",
    "load_in_4bit": "quant",
    "name": "study.name",
    "study_name": "study.name",
    "n_jobs": "executor.workers",
    "num_workers": "executor.workers",
    "timeout": "budget.wall_clock",
    "time_limit": "budget.wall_clock",
    "memory_limit": "budget.memory",
    "tracking_uri": "tracking.uri",
}
"""Names that people know from PEFT, transformers and Optuna, and the key or group that they mean here."""

_MOST_SUGGESTED = 3

_QUOTED_NAME = re.compile(r"""([{,]\s*)(["'])([^"']*)\2(\s*:)""")


def override_problems(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The problems of the overrides, and the overrides without a problem.

    Returns:
        problems, each with what to write instead; and usable overrides.
    """
    choices = groups()
    problems: list[str] = []
    usable: list[str] = []
    parser = OverridesParser.create()
    for word in overrides:
        text = _as_written(word)
        try:
            override = parser.parse_override(word)
        except ValueError:  # Python reads no whole number of thousands of digits
            problems.append(f"{shortened(text)}: cannot be read: the number has too many digits")
            continue
        except HydraException:
            if unquoted := _without_quoted_names(word):
                problems.append(f"{text}: write the names in braces without quotes: '{unquoted}'")
                continue
            problems.append(
                f"{text}: write KEY=VALUE; quote values that hold spaces, commas, brackets or letters beyond a to z: 'KEY=\"a b\"'"
            )
            continue
        name = override.key_or_group
        if name.startswith("hydra") or override.is_delete():
            problem = None
        elif name in choices:
            problem = _unknown_option(name, override.value(), choices[name], text) or _sign(name, override.is_add())
        else:
            problem = _unknown_key(name, list(choices), text) or _wrong_value(name, override.value(), text)
        if problem is None:
            usable.append(word)
        else:
            problems.append(problem)
    return [*problems, *_both_alternatives(usable)], usable


def in_hydras_words(overrides: Sequence[str]) -> list[str]:
    """The overrides with `++` before names below `OPEN_KEYS`, which Hydra would otherwise refuse to add."""
    opened = tuple(f"{key}{sign}" for key in OPEN_KEYS for sign in ".=")
    return [f"++{word}" if word.startswith(opened) else word for word in overrides]


def given_keys(overrides: Sequence[str]) -> set[str]:
    """The keys that overrides give a value other than null; words of another form are left out."""
    pairs = (word.lstrip("+").partition("=") for word in overrides)
    given = {key for key, sign, value in pairs if sign and value != "null"}
    return given | {opened for opened in OPEN_KEYS for key in given if key.startswith(f"{opened}.")}


def wrong_form(entry: Entry, value: object) -> str | None:
    """What to write instead, if the value is a list, a mapping or a single value where the key wants another of these."""
    key, kind = entry.name, entry.type
    if kind is Any or (isinstance(value, str) and value.startswith("${")):
        return None
    if value is None:
        return None if entry.optional else "cannot be null; leave it out for its default"
    if entry.is_section:
        names = ", ".join(name.removeprefix(f"{key}.") for name in _keys_in(key))
        return None if isinstance(value, dict) else f"is a group of keys; write {key}.NAME=VALUE (names: {names})"
    origin = typing.get_origin(kind)
    if origin is tuple:
        return None if isinstance(value, list) else f"write a list in brackets, as in {key}=[A,B]"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            return f"is a group of values by name; write {key}.NAME=VALUE"
        lists, numbers = typing.get_origin(of := typing.get_args(kind)[1]) is tuple, of in (int, float)
        nested = next((str(name) for name, each in value.items() if isinstance(each, dict)), None)
        if numbers and nested is not None:
            return f"write names with dots in braces, as in {key}={{{nested}.NAME: VALUE}}"
        if lists and not all(isinstance(each, list) for each in value.values()):
            return f"write each value as a list in brackets, as in {key}.NAME=[A,B]"
        return None
    if isinstance(value, list | dict):
        return f"write one value, as in {key}=A"
    return None


def suggestion(name: str, choices: Collection[str] = ()) -> str:
    """`; did you mean 'x'?` for a name that is no key, or nothing if no key is near.

    A synonym comes first, then the keys with this last part (`trials` for `search.trials`), then the nearest spelling.

    Args:
        choices: groups, which are suggested too.
    """
    section, _, leaf = name.rpartition(".")
    meant = SYNONYMS.get(leaf)
    if meant and (not section or meant.startswith(f"{section}.")):
        return f"; did you mean '{meant}'?"
    keys = [key for key in entries() if key.endswith(f".{name}")]
    if 0 < len(keys) <= _MOST_SUGGESTED:
        return f"; did you mean {' or '.join(map(repr, keys))}?"
    return did_you_mean(name, [*entries(), *choices])


def _without_quoted_names(word: str) -> str | None:
    """The override with plain names in its braces, as Hydra wants them; None if it has no quoted ones."""

    def plain(match: re.Match[str]) -> str:
        return match[1] + name_in_braces(match[3]) + match[4]

    bare = _QUOTED_NAME.sub(plain, word.removeprefix("++"))
    return bare if bare != word.removeprefix("++") else None


def _as_written(word: str) -> str:
    """The override before `in_hydras_words`."""
    opened = tuple(f"++{key}" for key in OPEN_KEYS)
    return word.removeprefix("++") if word.startswith(opened) else word


def _keys_in(section: str) -> Iterator[str]:
    return (key for key in entries() if key.startswith(f"{section}.") and "." not in key.removeprefix(f"{section}."))


def _both_alternatives(overrides: Sequence[str]) -> Iterator[str]:
    given = given_keys(overrides)
    for key, other in ALTERNATIVES.items():
        if {key, other} <= given:
            yield f"{key}: cannot be given together with {other}; leave one of them out"


def _unknown_option(group: str, value: object, known: Sequence[str], text: str) -> str | None:
    chosen = getattr(value, "list", None) if isinstance(value, Sweep) else value
    for choice in chosen if isinstance(chosen, list) else [chosen]:
        if str(choice) not in known:
            return (
                f"{text}: there is no {group} '{choice}'{did_you_mean(str(choice), known)} (known: {', '.join(known)})"
            )
    return None


def _sign(group: str, plus: bool) -> str | None:
    if plus == (group in ADDED_GROUPS):
        return None
    return f"{group}: write +{group}=NAME, with a plus" if not plus else f"{group}: write {group}=NAME, without a plus"


def _wrong_value(name: str, value: object, text: str) -> str | None:
    if isinstance(value, Sweep):
        return f"{text}: has several values; write one, a list in brackets, or text with commas in quotes: '{name}=\"A,B\"'"
    entry = entries().get(name)
    if entry is None:
        return None
    if problem := wrong_form(entry, value):
        return f"{text}: {problem}"
    if entry.is_section and isinstance(value, dict):
        for inner, each in value.items():
            key = f"{name}.{inner}"
            if problem := _unknown_key(key, (), text) or _wrong_value(key, each, text):
                return problem
    return None


def _unknown_key(name: str, choices: Sequence[str], text: str) -> str | None:
    if name in entries() or any(name.startswith(f"{opened}.") for opened in OPEN_KEYS):
        return None
    if "@" in name and name.split("@")[0] in choices:
        return None
    near = suggestion(name, choices)
    return f"{text}: there is no key '{name}'{near}" + (
        "" if near else f" ({pasteable('python -m sweep help')} lists all keys)"
    )
