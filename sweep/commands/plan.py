"""The plan of a study, for `plan` and `dry_run=true`, or of a single trial. Trains nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.records import Arm, Certification, SearchedMethod, StudyPlan, StudyRecord
    from sweep.store.paths import Paths
    from tasks import Splits


def show_study_plan(plan: StudyPlan) -> None:
    """Prints what a study would do and take: trials, minutes, sizes, memory, disk, limits, and what it can decide."""
    from sweep.commands.data import load_data
    from sweep.store.paths import Paths

    _show(*load_data(plan, Paths.here()))


def show_measured_plan(plan: StudyPlan) -> None:
    """Trains a few steps first, and keeps what they took under `mlruns/`."""
    from sweep.commands.data import load_data
    from sweep.commands.planning.measuring import measure
    from sweep.store.paths import Paths

    paths = Paths.here()
    plan, splits = load_data(plan, paths)
    _show(plan, splits, last=measure(plan, splits, paths))


def _show(plan: StudyPlan, splits: Splits, *, last: str | None = None) -> None:
    from sweep.commands.planning.show import UNTOUCHED, show_outlook
    from sweep.store.paths import Paths
    from sweep.training.machine import quiet_libraries

    quiet_libraries()
    paths = Paths.here()
    plan, record = _recorded(plan, splits.data_hash, paths)
    lines = dict(_study_lines(plan, record, splits, paths))
    show_outlook(f"Study {plan.name}: {_on(plan)}", lines, plan, splits, paths, record, last=last or UNTOUCHED)


def show_trial_plan(plan: StudyPlan) -> None:
    """Prints what a single trial would do."""
    from sweep.commands.data import load_data
    from sweep.reports.steps import shown
    from sweep.store.paths import Paths

    paths = Paths.here()
    plan, splits = load_data(plan, paths)
    lines = {
        "arm": _arm(plan.arm),
        "training": _training(plan),
        "data": _data(plan, splits, certify=False),
        **({"read": "; ".join(splits.notes)} if splits.notes else {}),
        **({"warnings": "; ".join(splits.warnings)} if splits.warnings else {}),
        **({"limits": limits} if (limits := plan.setup.task.limits) else {}),
        "results": f"{shown(paths.root)}/adapters and {shown(paths.root)}/trials",
    }
    _print(f"One trial of {plan.name}: {_on(plan)}", lines)


def _arm(arm: Arm) -> str:
    from sweep.methods import own_words

    parts = [f"rank {arm.rank}"] if arm.rank else []
    parts += [f"alpha {arm.alpha:g}"] if arm.alpha else []
    parts += [f"dropout {arm.dropout:g}"] if arm.rank else []
    parts += [f"learning rate {arm.learning_rate:g}", arm.method]
    parts += [own] if (own := own_words(arm)) else []
    parts += [f"on {', '.join(arm.targets)}"] if arm.targets else []
    return ", ".join(parts)


def _space(searched: SearchedMethod) -> str:
    """What is searched of a method in a search over methods."""
    space = searched.space
    low, high = space.learning_rate
    listed = {
        "rank": space.ranks,
        "alpha / rank": space.alpha_ratios,
        "dropout": space.dropouts,
        "targets": space.targets,
        **dict(space.own),
    }
    parts = [f"{name} {', '.join(map(str, values))}" for name, values in listed.items() if values and name != "targets"]
    parts += [f"{len(space.targets)} sets of targets"] if space.targets else []
    return "; ".join([f"learning rate {low:g} to {high:g}", *parts])


def _print(title: str, lines: Mapping[str, str]) -> None:
    print(title)
    for name, text in lines.items():
        print(f"  {name:9} {text}")
    print("Nothing was trained or written.")


def _study_lines(
    plan: StudyPlan, record: StudyRecord | None, splits: Splits, paths: Paths
) -> Iterator[tuple[str, str]]:
    from sweep.reports.steps import shown

    if record is None:
        yield "state", "new: no trial of this study, with this data and search space, is recorded here"
    else:
        certify = "" if record.certification is None else f", {_for_the_verdict(record.certification)}"
        yield "state", f"resumes; finished search trials: {len(record.trials)}{certify}"
    for each in plan.methods:
        yield each.name, _space(each)
    if plan.certify and plan.declaration.arms:
        yield "ladder", _ladder(plan)
    yield "training", _training(plan)
    yield "data", _data(plan, splits, certify=plan.certify)
    if splits.notes:
        yield "read", "; ".join(splits.notes)
    if splits.warnings:
        yield "warnings", "; ".join(splits.warnings)
    if limits := plan.setup.task.limits:
        yield "limits", limits
    yield "workers", _workers(plan)
    if plan.notes:
        yield "note", "; ".join(plan.notes)
    yield "results", f"{shown(paths.page(plan.name))}, records in {shown(paths.root)}"


def _ladder(plan: StudyPlan) -> str:
    """The arms, in the order in which they are compared if that is known without the base."""
    from sweep.records.plan import KNOWN_COSTS

    declared = plan.declaration
    order = "their order is known once the base is loaded" if declared.cost in KNOWN_COSTS else "in this order"
    return f"{', '.join(arm.words for arm in declared.arms)} (by {declared.cost}, {order})"


def _for_the_verdict(known: Certification) -> str:
    """How far the certify stage has come."""
    from sweep.reports.ladder_kind import is_cut

    cut = sum(is_cut(trial) for trial in known.trials)
    trained = len(known.trials) - cut
    return (
        f"trainings for the verdict: {trained}, adapters cut from them: {cut}"
        if cut
        else f"trials for the verdict: {trained}"
    )


def _recorded(plan: StudyPlan, data_hash: str, paths: Paths) -> tuple[StudyPlan, StudyRecord | None]:
    """The plan as it goes on with what is recorded, and the study as recorded so far; None if it is new."""
    if plan.storage_url is None and not paths.optuna_database.exists():
        return plan, None
    from sweep.errors import ConfigurationError
    from sweep.search.reading import studies_of
    from sweep.search.storage import existing_storage
    from sweep.study.run import identity_to_continue, with_stored_compute, with_stored_ladder

    with existing_storage(plan.storage_url, paths) as storage:
        try:
            records = studies_of(storage, plan.name)
        except ConfigurationError:  # no study of this name
            return plan, None
        plan = with_stored_compute(plan, data_hash, storage, paths)
        own = identity_to_continue(plan, data_hash, storage, paths)
        plan = with_stored_ladder(plan, own, storage)
    return plan, next((record for record in records if record.identity == own), None)


def _on(plan: StudyPlan) -> str:
    return f"{plan.setup.task.name} on {plan.setup.model.name} ({plan.setup.quant.name})"


def _training(plan: StudyPlan) -> str:
    training = plan.training
    examples = training.steps * training.batch_size * training.gradient_accumulation
    return f"{training.steps} steps, {examples:,} examples per trial"


def _data(plan: StudyPlan, splits: Splits, *, certify: bool) -> str:
    from sweep.records.evaluation import FEWEST_CHOSEN

    scoring = plan.setup.scoring
    used = {"tune": scoring.examples, "certify": scoring.certify_examples, "test": scoring.test_examples}
    sizes = [f"train {len(splits.train):,}"]
    for split in used if certify else ("tune",):
        there = len(getattr(splits, split))
        most = used[split]
        chosen = f"at least {min(FEWEST_CHOSEN, there):,}" if most is None else f"{min(most, there):,}"
        sizes.append(f"{split} {chosen} of {there:,}")
    return f"{', '.join(sizes)} examples"


def _workers(plan: StudyPlan) -> str:
    slots = (
        "as many trials side by side as fit"
        if plan.slots is None
        else f"{plan.slots} trial{'' if plan.slots == 1 else 's'} side by side"
    )
    each = plan.setup.workers_on_device
    where = "" if plan.setup.device == "cpu" else ", one on each GPU" if each == 1 else f", up to {each} on each GPU"
    return f"{plan.workers}{where}, each with {slots}; CPU threads per worker: {plan.setup.threads}"
