"""All that is known of a study before it is trained, put together from its plan, its data and what is on this machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sweep.commands.doctor.findings import Finding
from sweep.commands.planning.base_facts import BaseFacts, facts_by_size, facts_in
from sweep.commands.planning.costs import Costs, costs_of
from sweep.commands.planning.decision import Decision, decision_of
from sweep.commands.planning.limits import Machine, device_limits, free_disk, limits
from sweep.commands.planning.memory import WorkerMemory, trained_arms, worker_memory
from sweep.commands.planning.recorded import TimedTrial, recorded_speeds, timed_trials
from sweep.commands.planning.sizes import TargetSizes, named_arms, sizes_by_target, sizes_of
from sweep.commands.planning.speeds import Speeds, measured_products
from sweep.commands.planning.timetable import (
    LEAST,
    MIDDLE,
    MOST,
    StageTime,
    counts_at,
    ladder_arms,
    searched_arms,
    seconds_by_stage,
)
from sweep.commands.planning.workload import Workload, encoder_for, workload_of
from sweep.config.gpus import Gpu, amd_gpus, nvidia_gpus
from sweep.records import ArmSize, StudyPlan, StudyRecord
from sweep.reports.forecast import by_cutting
from sweep.store.paths import Paths
from sweep.training.machine import available_memory
from tasks import Splits

CALIBRATION = "calibration"
"""The folder under `mlruns` with the trials of `--measure`."""

_COPIES = 2
"""An adapter is kept in `mlruns/adapters` and with its MLflow run."""
_RECORD_BYTES = 8e6
"""Databases, and the page."""
_TRIAL_BYTES = 60e3
"""Result, scores and configuration of a trial."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a study would take.

    Attributes:
        load: the tokens of its trials.
        facts: of its base; None if not even the number of its parameters is known.
        targets, arms: trainable parameters, by rank and target set, and of arms with their names.
        memory: of a worker; None if unknown.
        times: seconds by stage; empty if unknown.
        speeds: what they rest on.
        disk: bytes; None if unknown.
        machine: what is free here.
        limits: what does not work as planned, each with what to change.
        decision: what its seeds can decide; None without a verdict.
        certify_examples: number of certify examples that the times rest on.
    """

    load: Workload
    facts: BaseFacts | None
    targets: Sequence[TargetSizes]
    arms: Sequence[tuple[str, ArmSize]]
    memory: WorkerMemory | None
    times: Sequence[StageTime]
    speeds: Speeds | None
    disk: int | None
    machine: Machine
    limits: Sequence[tuple[str, str]]
    decision: Decision | None
    certify_examples: int | None

    def total(self) -> tuple[float, float, float]:
        """Low, middle and high seconds of the whole study."""
        return (
            sum(each.low for each in self.times),
            sum(each.middle for each in self.times),
            sum(each.high for each in self.times),
        )


def outlook(
    plan: StudyPlan,
    splits: Splits,
    paths: Paths,
    record: StudyRecord | None,
    *,
    stores: Sequence[Paths] | None = None,
    speeds: Speeds | None = None,
) -> Outlook:
    """Finds out what a study would take; loads no weights and writes nothing.

    Args:
        plan: with steps.
        record: of the study so far; None if it is new.
        stores: where trials are that say how fast this machine is; None for `mlruns` and the trials of `--measure`.
        speeds: what to take instead of these.
    """
    from sweep.commands.doctor.sources import base_model, folder_of, parameters_of
    from sweep.training.sources import hub_answers

    gpus = [*nvidia_gpus(), *amd_gpus()]
    machine = Machine(free_memory(plan, gpus), free_disk(paths.root))
    folder = folder_of(plan.setup.model, paths)
    known = parameters_of(plan.setup.model, folder) if folder is None else None
    facts = facts_in(folder) if folder is not None else facts_by_size(known) if known else None
    encoder, counted = encoder_for(plan, folder)
    load = workload_of(plan, splits, encoder, counted=counted)
    timed: list[TimedTrial] = []
    if facts is not None:
        device = device_words(plan)
        places = [paths, Paths(paths.root / CALIBRATION)] if stores is None else stores
        timed = [trial for each in places for trial in timed_trials(each, plan, device, facts, load, encoder)]
        speeds = speeds or recorded_speeds(timed, plan.setup.engine) or _products(plan)
    named = named_arms(plan)
    sizes: list[ArmSize] = []
    largest: list[int] = []
    worker: WorkerMemory | None = None
    if facts is not None and folder is not None:
        steps = plan.training.steps
        sizes = list(sizes_of([arm for _, arm in named], facts, folder, steps))
        largest = [size.parameters for size in sizes_of(trained_arms(plan), facts, folder, steps)]
    if facts is not None:
        worker = worker_memory(plan, facts, load, timed, largest, machine.memory)
    times: list[StageTime] = []
    costs: Costs | None = None
    if facts is not None and speeds is not None:
        costs = costs_of(plan, facts, load, speeds, len(splits.certify))
        times = times_of(plan, record, costs)
    disk = None if facts is None or folder is None else disk_of(plan, record, facts, folder)
    most = sum(each.high for each in times) if times else None
    base: Finding | None = None
    if folder is None:
        base = base_model(plan.setup.model, folder, hub_answers)
    return Outlook(
        load=load,
        facts=facts,
        targets=sizes_by_target(plan, facts) if facts is not None else [],
        arms=[(name, size) for (name, _), size in zip(named, sizes, strict=False)],
        memory=worker,
        times=times,
        speeds=speeds,
        disk=disk,
        machine=machine,
        limits=[
            *device_limits(plan, gpus, str(yaml.safe_load(plan.config)["device"])),
            *limits(plan, machine, worker, disk, most, base),
        ],
        decision=decision_of(plan, timed, splits.data_hash),
        certify_examples=costs.certify_examples if costs is not None else None,
    )


def times_of(plan: StudyPlan, record: StudyRecord | None, costs: Costs) -> list[StageTime]:
    """Seconds by stage: of the fewest trials at the best speed, of the middle, and of the most trials at the worst; none if all is done."""
    if counts_at(MOST, plan, record).is_done:
        return []
    spread = 1 + costs.speeds.spread
    low, middle, high = (seconds_by_stage(counts_at(place, plan, record), costs) for place in (LEAST, MIDDLE, MOST))
    names = list(dict.fromkeys([*high, *middle, *low]))
    ordered = [
        name for name in ("start", "base", "search", "rates", "verdict", "confirm", "test", "end") if name in names
    ]
    return [
        StageTime(
            name,
            low.get(name, 0.0) / spread,
            middle.get(name, 0.0),
            high.get(name, 0.0) * spread,
        )
        for name in ordered
    ]


def disk_of(plan: StudyPlan, record: StudyRecord | None, facts: BaseFacts, folder: Path) -> int:
    """Bytes that the study writes if all seeds are needed: adapters twice, and once more the one that is handed out."""
    counts = counts_at(MOST, plan, record)
    arms = ladder_arms(plan)
    sizes = [size.bytes for size in sizes_of(arms, facts, folder, plan.training.steps)]
    top = sizes[-1:] if by_cutting(plan) else sizes
    explored = list(sizes_of(searched_arms(plan, len(plan.searched)), facts, folder, plan.training.steps))
    total = counts.explore * sum(size.bytes for size in explored) / max(1, len(explored))
    total += (counts.rates + counts.trainings + counts.confirm) * sum(top) / max(1, len(top))
    total += counts.cuts * sum(sizes[:-1]) / max(1, len(sizes) - 1)
    trials = counts.explore + counts.rates + counts.trainings + counts.cuts + counts.confirm + counts.test
    return round(_COPIES * total + max(sizes, default=0) + trials * _TRIAL_BYTES + _RECORD_BYTES)


def free_memory(plan: StudyPlan, gpus: Sequence[Gpu]) -> int:
    """Bytes that are free where the workers train: on the host, or on the GPU with the least."""
    if plan.setup.device != "cuda":
        return available_memory()
    free = [gpu.free for gpu in gpus if gpu.total]
    return min(free) if free else available_memory()


def device_words(plan: StudyPlan) -> str:
    """The device as results name it (`sweep.training.machine.device_name`)."""
    if plan.setup.device in ("cpu", "mps"):
        return f"{plan.setup.device} ({platform.machine()})"
    from sweep.training.machine import device_name, pick_device

    return device_name(pick_device(plan.setup.device))


def _products(plan: StudyPlan) -> Speeds:
    return measured_products(plan.setup)
