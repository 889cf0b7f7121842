"""The experiments that follow from findings: commands that compose, made from the command of the study."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sweep.methods import FULL, LORA_VARIANTS, entry_fields, methods
from sweep.records import Arm, Certification, Rung, StudyRecord
from sweep.records.arm import set_name
from sweep.records.braces import in_braces
from sweep.records.layers import layer_ranges
from sweep.records.quants import QUANTS
from sweep.verdict.conclusion import Experiment

WIDER = 4
"""Factor between the largest rank and the one that is tried next in a ladder of arms."""

MOST_RANK = 256
"""Beyond this rank, longer training is tried instead of a larger rank."""

_ALL_LINEAR = "all_linear"

_OF_SEARCHES = ("search.trials", "search.arms", "certify.ladder_by", "certify.confirm")
"""Keys that are refused with a ladder of arms."""


def with_values(command: str, values: Mapping[str, str], without: Sequence[str] = ()) -> str:
    """The command with these keys set, whatever they were set to before.

    Args:
        without: keys, or sections of keys (`quant.`), that are left out.
    """

    def stays(word: str) -> bool:
        key = word.lstrip("+").partition("=")[0]
        return key not in values and not any(
            key == one or (one.endswith(".") and key.startswith(one)) for one in without
        )

    words = [word for word in shlex.split(command) if stays(word)]
    return shlex.join([*words, *(f"{key}={value}" for key, value in values.items())])


def longer_ladder(record: StudyRecord) -> str:
    """The command for a ladder of ranks with one more rank, twice the largest."""
    ladder = [*record.declaration.ladder, 2 * max(record.declaration.ladder)]
    return with_values(record.command, {"certify.ladder": f"[{','.join(map(str, ladder))}]"})


def larger_rank(record: StudyRecord) -> Experiment:
    """After a ladder of ranks whose largest is still better than the next."""
    return Experiment(longer_ladder(record), f"adds rank {2 * max(record.declaration.ladder)} to the ladder")


def with_full(record: StudyRecord, certification: Certification) -> Experiment | None:
    """Full fine-tuning beside the LoRA arms of the study, or beside its largest rank; None if another arm cannot share its base."""
    arms = [rung.arm for rung in certification.declared.arms]
    if not arms:
        recipe = certification.recipe.parent
        arms = [replace(recipe, rank=max(certification.declared.ladder))]
    quants = [quant for quant in methods()[FULL].quants if all(_takes(arm, quant) for arm in arms)]
    if not quants:
        return None
    return Experiment(
        _ladder(record, [*arms, _FULL], "full", {"quant": quants[0]}),
        "trains full fine-tuning beside it, the most that can be reached with these data and steps",
    )


def wider(record: StudyRecord, certification: Certification, best: Rung) -> Experiment:
    """After LoRA fell short of full fine-tuning: more rank, on all linear modules, beside the arms that it is compared with."""
    of = best.of.arm
    arms = [of, *_on_all_linear(record, of), *_larger(record, of)]
    full = [_FULL] if _holds_full(certification) else []
    if len(arms) == 1:  # nothing wider is left
        longer_by = 2 * _steps(certification)
        command = _ladder(record, [of, *full], "longer", {"train.steps": str(longer_by)}, without=("train.epochs",))
        return Experiment(command, f"trains twice as long ({longer_by} steps), since nothing wider is left")
    parts = [_named(arm, record) for arm in arms[1:]]
    return Experiment(
        _ladder(record, [*arms, *full], "wider"), f"tries {' and '.join(parts)}; trained arms are used again"
    )


def longer(record: StudyRecord, certification: Certification) -> Experiment:
    """After a study in which nothing was gained."""
    steps = 2 * _steps(certification)
    values = {"study.name": f"{record.name}-longer", "train.steps": str(steps)}
    return Experiment(
        with_values(record.command, values, ("train.epochs",)),
        f"trains twice as long ({steps} steps), in case too little was learned; if that gains nothing either, use the base as it is",
    )


def one_pass(record: StudyRecord, certification: Certification, available: int) -> Experiment:
    """After a study whose trainings memorized their examples."""
    training = certification.complete(certification.complete_ranks()[0])[0].spec.training
    steps = max(1, math.ceil(available / (training.batch_size * training.gradient_accumulation)))
    values = {"study.name": f"{record.name}-one-pass", "train.steps": str(steps)}
    return Experiment(
        with_values(record.command, values, ("train.epochs",)),
        f"trains for one pass over the {available} examples ({steps} steps), so that none can be memorized",
    )


_FULL = Arm(0, 0.0, 0.0, (), 0.0, FULL)


def _holds_full(certification: Certification) -> bool:
    return any(each.arm.method == FULL for each in certification.declared.arms)


def _steps(certification: Certification) -> int:
    trial = next(trial for trial in certification.trials if trial.is_complete)
    return trial.spec.training.steps


def _takes(arm: Arm, quant: str) -> bool:
    method = methods().get(arm.method)
    return quant in QUANTS and method is not None and quant in method.quants


def _on_all_linear(record: StudyRecord, arm: Arm) -> Iterator[Arm]:
    modules = tuple(sorted(record.target_sets.get(_ALL_LINEAR, ())))
    if modules and modules != arm.targets:
        yield replace(arm, targets=modules)


def _larger(record: StudyRecord, arm: Arm) -> Iterator[Arm]:
    if WIDER * arm.rank <= MOST_RANK:
        yield replace(next(_on_all_linear(record, arm), arm), rank=WIDER * arm.rank)


def _named(arm: Arm, record: StudyRecord) -> str:
    return f"rank {arm.rank} on {set_name(arm.targets, record.target_sets)}"


def _ladder(
    record: StudyRecord,
    arms: Sequence[Arm],
    suffix: str,
    values: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
) -> str:
    """The study's command with a ladder of these arms, in a study of its own name."""
    every = {
        "study.name": f"{record.name}-{suffix}",
        "certify.ladder": f"[{', '.join(ladder_entry(arm, record.target_sets) for arm in arms)}]",
        **(values or {}),
    }
    quant = ("quant.",) if "quant" in every else ()
    return with_values(record.command, every, (*_OF_SEARCHES, *quant, *without))


def ladder_entry(arm: Arm, sets: Mapping[str, Sequence[str]]) -> str:
    """The arm as an entry of `certify.ladder`, exact, so that what is trained of it is found again."""
    fields = [f"method: {arm.method}", *entry_fields(arm, sets)]
    if arm.method in LORA_VARIANTS and arm.loraplus_lr_ratio != 1:
        fields.append(f"loraplus_lr_ratio: {arm.loraplus_lr_ratio!r}")
    fields += [f"{name}: {value}" for name, value in arm.own]
    fields += [f"quant: {arm.quant}"] if arm.quant is not None else []
    fields += [f"rank_pattern: {in_braces(arm.rank_pattern)}"] if arm.rank_pattern else []
    fields += [f"alpha_pattern: {in_braces(arm.alpha_pattern)}"] if arm.alpha_pattern else []
    fields += [f"layers: [{layer_ranges(arm.layers)}]"] if arm.layers else []
    return f"{{{', '.join(fields)}}}"
