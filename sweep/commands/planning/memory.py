"""The memory of a study's workers: as trials of the same base measured it here, or estimated from the base's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.recorded import TimedTrial
from sweep.commands.planning.timetable import ladder_arms, slots_of
from sweep.commands.planning.workload import Workload
from sweep.methods import trains_packed, virtual_tokens
from sweep.records import Arm, StudyPlan
from sweep.records.quants import KINDS
from sweep.search.space import largest_arms

LIBRARIES_BYTES = 0.75e9
"""A worker's process with its libraries, on the host."""

_READ_BYTES, _MOST_READ = 3.4, 1e9
"""Per parameter of a base that is quantized on a CPU, and at most: what stays resident of the files that it was read from. Measured on
SmolLM2-135M; of large files the system takes back what it needs."""

COPIED_SHARE = 0.25
"""`sweep.training.frozen_weights.SHARE_OF_FREE_MEMORY`, without loading torch."""

_PASSES_BYTES = 0.5e9
"""Of short examples through a small base, where nothing but the number of its parameters is known."""

_FP32, _HALF = 4, 2


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """What a worker takes at its peak.

    Attributes:
        bytes: on the device where it trains, the dequantized copies of 4-bit weights included.
        copies: of these copies.
        measured: whether trials measured it.
        of_arms: the same for each of `trained_arms`.
    """

    bytes: int
    copies: int
    measured: bool
    of_arms: tuple[int, ...] = ()


def worker_memory(
    plan: StudyPlan, facts: BaseFacts, load: Workload, timed: Sequence[TimedTrial], sizes: Sequence[int], free: int
) -> WorkerMemory:
    """The peak of the plan's worker, measured by trials like its own or estimated.

    Args:
        timed: trials that ended here.
        sizes: trainable parameters of the arms of `trained_arms`.
        free: bytes of memory.
    """
    copies = copied_bytes(plan, facts, free)
    arms, known = trained_arms(plan), _measured(timed)
    measured = [known.get((arm.method, arm.quant or plan.setup.quant.name), 0) for arm in arms]
    if all(measured):
        peaks = measured
    elif facts.config:
        peaks = _estimated(plan, facts, load, arms, sizes)
    else:
        peaks = [round(_resident(plan, plan.arm, facts) + _PASSES_BYTES)]
    of_arms = tuple(peak + copies for peak in peaks)
    return WorkerMemory(max(of_arms), copies, all(measured), of_arms)


def _measured(timed: Sequence[TimedTrial]) -> Mapping[tuple[str, str], int]:
    """The largest peak of a training by method and quantization of the base, with the plan's engine."""
    peaks: dict[tuple[str, str], int] = {}
    for trial in timed:
        measures, recipe = trial.result.measures, trial.result.spec.arm
        if measures is None or recipe is None or "engine" in trial.unlike or measures.peak_of == "evaluation":
            continue
        key = (trial.method, trial.quant)
        peaks[key] = max(peaks.get(key, 0), measures.peak_bytes)
    return peaks


def trained_arms(plan: StudyPlan) -> list[Arm]:
    """The arms among which the one is that takes most memory."""
    return ladder_arms(plan) if plan.certify and plan.declaration.arms else list(largest_arms(plan))


def copied_bytes(plan: StudyPlan, facts: BaseFacts, free: int) -> int:
    """Bytes of the dequantized copies that a worker on a CPU keeps of 4-bit weights (`quant.cache`).

    Args:
        free: bytes of memory; with `auto` the copies take at most `COPIED_SHARE` of them.
    """
    quant = plan.setup.quant
    copies = (_HALF if quant.compute == "bfloat16" else _FP32) * facts.body
    if KINDS[quant.name].bits != 4 or quant.cache == "never":
        return 0
    fits = plan.setup.device == "cpu" and plan.setup.memory_budget is None and copies <= COPIED_SHARE * free
    return copies if fits or quant.cache == "always" else 0


def _resident(plan: StudyPlan, arm: Arm, facts: BaseFacts) -> float:
    """Bytes of a worker with its base, before any trial and without copies."""
    kind = KINDS[plan.setup.quant_of(arm).name]
    of_base = kind.memory * facts.parameters
    if plan.setup.device != "cpu":
        return of_base
    return LIBRARIES_BYTES + of_base + (min(_MOST_READ, _READ_BYTES * facts.parameters) if kind.bits < 16 else 0.0)


def _estimated(
    plan: StudyPlan, facts: BaseFacts, load: Workload, arms: Sequence[Arm], sizes: Sequence[int]
) -> list[int]:
    """The memory model of `sweep.training.packed.memory`, with the terms of its `estimate`, for the longest batch that may come."""
    from sweep.training.packed.memory.estimate import estimated_evaluation, estimated_training, sizes_of, widths_of
    from sweep.training.packed.memory.model import MemoryModel, PassShape

    on_gpu = plan.setup.device != "cpu"
    number = _HALF if on_gpu and plan.setup.quant.compute == "bfloat16" else _FP32
    model = sizes_of(SimpleNamespace(**facts.config), number, on_gpu=on_gpu)
    widths = widths_of(SimpleNamespace(**facts.config), model)
    batch = plan.training.batch_size
    checkpointing = plan.training.uses_checkpointing(auto=False)
    peaks = []
    for arm, parameters in zip(arms, sizes, strict=True):
        costs = estimated_training(model, widths, arm, checkpointing=checkpointing)
        predicted = MemoryModel(model, round(_resident(plan, arm, facts)), costs, estimated_evaluation(widths))
        slots = slots_of(plan) if trains_packed(arm) else 1
        longest = load.longest + virtual_tokens(arm)
        shape = PassShape(batch * longest, batch * max(1, load.training.longest), ((batch, longest, longest),))
        peaks.append(predicted.training_peak(slots, parameters, [shape]))
    return peaks
