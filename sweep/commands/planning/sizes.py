"""Trainable parameters of arms, counted from the shapes of the base's layers: no weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.commands.planning.base_facts import BaseFacts
from sweep.config.targets import set_name
from sweep.methods import LORA_VARIANTS, arm_words, method_of
from sweep.records import Arm, ArmSize, StudyPlan
from sweep.training.weightless import BYTES_PER_PARAMETER, made_sizes


@dataclass(frozen=True, slots=True)
class TargetSizes:
    """Trainable parameters of LoRA on a set of target modules.

    Attributes:
        name: of the set.
        by_rank: parameters by rank, ascending.
    """

    name: str
    by_rank: tuple[tuple[int, int], ...]


def lora_parameters(facts: BaseFacts, targets: Sequence[str], rank: int) -> int:
    """Parameters of A and B in every targeted layer: rank * (inputs + outputs) each."""
    return sum(rank * (inputs + outputs) for inputs, outputs in facts.targeted(targets))


def sizes_by_target(plan: StudyPlan, facts: BaseFacts) -> list[TargetSizes]:
    """The ranks that are searched or compared, on each set of targets that may be used; empty if no arm is a plain LoRA."""
    if plan.methods or plan.declaration.arms or not _is_plain(plan.arm) or not facts.linear:
        return []
    ladder = plan.declaration.ladder if plan.certify else ()
    ranks = sorted({*plan.space.ranks, *ladder} or {plan.arm.rank})
    sets = [tuple(entry.split(",")) for entry in plan.space.targets] or [plan.arm.targets]
    return [
        TargetSizes(
            set_name(targets, plan.setup.model.target_sets),
            tuple((rank, lora_parameters(facts, targets, rank)) for rank in ranks),
        )
        for targets in sets
    ]


def named_arms(plan: StudyPlan) -> list[tuple[str, Arm]]:
    """The arms whose sizes are worth naming one by one, with their names: of a ladder of arms, or of several methods."""
    if plan.certify and plan.declaration.arms:
        return [(each.words, each.arm) for each in plan.declaration.arms]
    if plan.methods:
        return [(arm_words(each.arm), each.arm) for each in plan.methods]
    if _is_plain(plan.arm):
        return []
    ranks = plan.declaration.ladder if plan.certify and plan.arm.rank else (plan.arm.rank,)
    return [(arm_words(arm), arm) for arm in (replace(plan.arm, rank=rank) for rank in ranks)]


def sizes_of(arms: Sequence[Arm], facts: BaseFacts, folder: Path, steps: int) -> Iterator[ArmSize]:
    """The size of each arm's adapter.

    Of plain LoRA by its formula; of full fine-tuning all weights; of others from an adapter that PEFT makes for a model without numbers.
    """
    made = made_sizes((arm for arm in arms if not _is_counted(arm)), folder, steps)
    for arm in arms:
        if method_of(arm).trains_base:
            yield ArmSize(BYTES_PER_PARAMETER * facts.parameters, facts.parameters)
        elif _is_plain(arm):
            parameters = lora_parameters(facts, arm.targets, arm.rank)
            yield ArmSize(BYTES_PER_PARAMETER * parameters, parameters)
        else:
            yield next(made)


def _is_counted(arm: Arm) -> bool:
    """Whether its size follows from shapes alone."""
    return method_of(arm).trains_base or _is_plain(arm)


def _is_plain(arm: Arm) -> bool:
    return arm.method in LORA_VARIANTS and not (arm.rank_pattern or arm.alpha_pattern or arm.layers)
