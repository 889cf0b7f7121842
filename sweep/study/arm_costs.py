"""What the arms of a ladder cost before they are trained: their order, and arms that cost the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from sweep.config.rank_patterns import check_patterns
from sweep.config.targets import check_targets
from sweep.config.units import show_bytes
from sweep.records import ArmSize, Declaration, LadderArm, LoadReport, StudyPlan
from sweep.records.plan import KNOWN_COSTS
from sweep.records.quants import KINDS


def with_arm_costs(plan: StudyPlan, loaded: LoadReport) -> StudyPlan:
    """The plan with the arms of its ladder in the order of their cost, where that is known before training.

    The plan itself for a ladder of ranks. Seconds and memory have to be measured: with them the order stays the one written. Of two arms
    with the same cost the one on the smaller base is the cheaper one.
    """
    declared = plan.declaration
    if not declared.arms or declared.cost not in KNOWN_COSTS:
        return plan
    arms = [
        replace(arm, cost=float(_cost(size, declared.cost)))
        for arm, size in zip(declared.arms, loaded.arm_sizes, strict=True)
    ]
    arms.sort(key=lambda arm: (arm.cost or 0.0, _base_bits(arm, plan)))
    return replace(plan, declaration=declared.with_arms(arms))


def ladder_note(declared: Declaration) -> str:
    """The arms in their order, with what is known of their cost."""
    shown = (
        arm.words + (f" {_shown(int(arm.cost), declared.cost)}" if arm.cost is not None else "")
        for arm in declared.arms
    )
    order = "as known before training" if declared.cost in KNOWN_COSTS else "as written; it is checked after training"
    return f"ladder, the cheapest first by {declared.cost}, {order}: {'; '.join(shown)}"


def arm_cost_problems(plan: StudyPlan, loaded: LoadReport) -> Iterator[str]:
    """Arms that do not fit the base, and arms that cost the same, so that the ladder has no order."""
    declared = plan.declaration
    if not declared.arms:
        return
    unfit = False
    for number, (arm, size) in enumerate(zip(declared.arms, loaded.arm_sizes, strict=True), 1):
        problems = check_targets(arm.arm.targets, loaded.linear_modules, f"certify.ladder: arm {number}")
        problems += check_patterns(arm.arm, [arm.arm.targets], loaded.linear_modules, f"certify.ladder: arm {number}: ")
        if not problems and size.problem is not None:
            problems = [f"certify.ladder: arm {number} ({arm.words}): {size.problem}"]
        unfit = unfit or bool(problems)
        yield from problems
    if not unfit and declared.cost in KNOWN_COSTS:
        yield from _equal_costs(plan, loaded.arm_sizes)


def _equal_costs(plan: StudyPlan, sizes: tuple[ArmSize, ...]) -> Iterator[str]:
    declared = plan.declaration
    costs = sorted(
        (_cost(size, declared.cost), _base_bits(arm, plan), number, arm.words)
        for number, (arm, size) in enumerate(zip(declared.arms, sizes, strict=True), 1)
    )
    for (cost, _), same in groupby(costs, key=lambda each: each[:2]):
        arms = [f"arm {number} ({words})" for *_, number, words in same]
        if len(arms) > 1:
            both, shown = f"{', '.join(arms[:-1])} and {arms[-1]}", _shown(cost, declared.cost)
            yield (
                f"certify.ladder: {both} cost the same, {shown} (certify.cost={declared.cost}), so neither is the cheaper one; leave one "
                "out, or order them by another cost: certify.cost=train_seconds, in the order written"
            )


def _base_bits(arm: LadderArm, plan: StudyPlan) -> int:
    """Bits of a weight of the base that the arm is trained on: all bases are the same model, so they order the bases by their bytes."""
    return KINDS[plan.setup.quant_of(arm.arm).name].bits


def _shown(cost: int, of: str) -> str:
    return show_bytes(cost) if of == "adapter_bytes" else f"{cost:,} parameters"


def _cost(size: ArmSize, cost: str) -> int:
    return size.bytes if cost == "adapter_bytes" else size.parameters
