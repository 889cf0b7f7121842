"""A search over methods in words: the best trial of each method, what its loss depended on, and the command that certifies the best one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sweep.config.method_keys import FIELDS, own_key
from sweep.config.method_values import method_values
from sweep.config.searched_methods import KEY, RATES
from sweep.config.targets import set_name
from sweep.config.units import show_bytes
from sweep.methods import Method, entry_fields, methods, own_words
from sweep.records import Arm, CompletedTrial, StudyRecord
from sweep.reports.tables import show_metric
from sweep.search.space import LOG2_RANK, OWN
from sweep.verdict.experiments import with_values

FEWEST_TRIALS = 6
"""Complete trials of a method below which no importances are computed (`sweep.search.reading`)."""


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """What a search over methods found of one method.

    Attributes:
        best: its complete trial with the lowest loss on tune; None if none is complete.
        tried: its trials, whatever their end.
        complete: its complete trials.
        importances: see `StudyRecord.method_importances`.
    """

    name: str
    best: CompletedTrial | None
    tried: int
    complete: int
    importances: Mapping[str, float]

    @property
    def title(self) -> str:
        """The method's name for people."""
        return methods()[self.name].title if self.name in methods() else self.name


def has_methods(record: StudyRecord) -> bool:
    """Whether several methods were tried, so that tables and pictures tell them apart."""
    return len(record.methods()) > 1


def summaries(record: StudyRecord) -> list[MethodSummary]:
    """Each method that was tried: that with the best trial first, those without a complete one last."""
    found = []
    for name in record.methods():
        complete = [trial for trial in record.complete() if trial.arm.method == name]
        best = min(complete, key=lambda trial: (trial.loss, trial.rank), default=None)
        tried = sum(trial.arm is not None and trial.arm.method == name for trial in record.trials)
        found.append(MethodSummary(name, best, tried, len(complete), record.method_importances.get(name, {})))
    return sorted(found, key=lambda each: each.best.loss if each.best else float("inf"))


def method_lines(record: StudyRecord) -> Iterator[str]:
    """The best trial of each method with its parameters, a line each."""
    yield "The best trial of each method:"
    for each in summaries(record):
        if each.best is None:
            yield f"  {each.title}: no complete trial ({_trials(each)})"
            continue
        measures = each.best.measures
        yield (
            f"  {each.title}: loss {each.best.loss:.4f}, {record.metric} {show_metric(measures, record.metric)}, "
            f"{show_bytes(measures.adapter_bytes)} with {parameter_words(each.best.arm, record.target_sets)} "
            f"({_trials(each)}; {importance_words(each)})"
        )


def _trials(each: MethodSummary) -> str:
    tried = f"{each.tried} trial{'' if each.tried == 1 else 's'}"
    return f"{each.complete} of {tried} complete" if each.complete < each.tried else tried


def parameter_words(arm: Arm, sets: Mapping[str, Sequence[str]]) -> str:
    """`rank 8, alpha 16, dropout 0.05, q_v, learning rate 3.0e-03`: what the method has of these."""
    parts = [f"rank {arm.rank}"] if arm.rank else []
    parts += [f"alpha {arm.alpha:g}"] if arm.alpha else []
    parts += [f"dropout {arm.dropout:g}"] if arm.dropout else []
    parts += [set_name(arm.targets, sets)] if arm.targets else []
    parts += [own] if (own := own_words(arm)) else []
    return ", ".join([*parts, f"learning rate {arm.learning_rate:.1e}"])


def importance_words(each: MethodSummary) -> str:
    """What the loss depended on most, or why that is not known."""
    if each.complete < FEWEST_TRIALS:
        return f"too few to say what its loss depends on: {FEWEST_TRIALS} are needed"
    if not each.importances:
        return "no parameter was varied"
    shares = sorted(each.importances.items(), key=lambda item: (-item[1], item[0]))
    return "its loss depends on " + ", ".join(f"{_shown(name)} {100 * share:.0f} %" for name, share in shares[:3])


def _shown(parameter: str) -> str:
    """A parameter of the search as people know it."""
    return "rank" if parameter == LOG2_RANK else parameter.removeprefix(OWN)


@dataclass(frozen=True, slots=True)
class CertifyCommand:
    """The command that certifies the ranks of the best method that has any.

    Attributes:
        purpose: what it does, and why for this method.
    """

    command: str
    purpose: str


def certify_command(record: StudyRecord) -> CertifyCommand | None:
    """The next step after a search over methods; None if no method with a rank has a complete trial.

    The new study begins with the best trial, whose result it takes from the store.
    """
    ranked = [each for each in summaries(record) if each.best is not None and each.name in methods()]
    winner = next((each for each in ranked if methods()[each.name].has_rank), None)
    if winner is None or winner.best is None:
        return None
    method = methods()[winner.name]
    command = with_values(_without_others(record.command, method), _values(record, winner.best.arm, method))
    why = "" if winner is ranked[0] else f", the best method that has ranks: {ranked[0].title} has none to certify"
    made = "cut from the largest" if method.cut else "each trained"
    return CertifyCommand(command, f"certifies the ranks of {winner.title} ({made}){why}")


def _without_others(command: str, method: Method) -> str:
    """The command without words about other methods, and without what the method brings along."""

    def stays(word: str) -> bool:
        key = word.lstrip("+").partition("=")[0]
        if key in (KEY, RATES) or key.startswith(f"{RATES}."):
            return False
        if key.startswith("method."):
            return own_key(method, key.removeprefix("method.")) is not None
        return key not in method_values(method.name) and (key not in FIELDS or FIELDS[key] in method.lora)

    return shlex.join(word for word in shlex.split(command) if stays(word))


def _values(record: StudyRecord, arm: Arm, method: Method) -> dict[str, str]:
    config: dict[str, Any] = yaml.safe_load(record.config)
    words = {word.lstrip("+").partition("=")[0] for word in shlex.split(record.command)}
    values = {"study.name": f"{record.name}-{method.name}", "method": method.name}
    if KEY not in words:  # it is in the study's file
        values[KEY] = "[]"
    values["certify"] = "default" if method.cut else "train"
    low, high = config["search"]["space"]["learning_rates"][method.name]
    usual = {**config["search"]["space"]["learning_rate"], **_own_rates(method)}
    if [low, high] != [usual["low"], usual["high"]]:
        values |= {"search.space.learning_rate.low": f"{low!r}", "search.space.learning_rate.high": f"{high!r}"}
    values["search.trials"] = "1"
    values["search.arms"] = f"[{{{', '.join(arm_fields(arm, method, record.target_sets))}}}]"
    return values


def _own_rates(method: Method) -> dict[str, float]:
    prefix = "search.space.learning_rate."
    return {
        key.removeprefix(prefix): value for key, value in method_values(method.name).items() if key.startswith(prefix)
    }


def arm_fields(arm: Arm, method: Method, sets: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The arm as an entry of `search.arms`, exact, so that its stored result is found again."""
    yield from entry_fields(arm, sets)
    yield f"learning_rate: {arm.learning_rate!r}"
    yield from (f"{name}: {value}" for name, value in arm.own if name in method.space)
