"""What this machine cannot do for a plan, or only slowly, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.commands.doctor.findings import Finding
from sweep.commands.planning.memory import WorkerMemory
from sweep.config.devices import AUTO
from sweep.config.gpus import Gpu
from sweep.config.units import show_bytes, show_seconds
from sweep.records import StudyPlan


@dataclass(frozen=True, slots=True)
class Machine:
    """What is free here.

    Attributes:
        memory: bytes of memory that workers train in: of the host, or of each GPU.
        disk: bytes on the disk of `mlruns`.
    """

    memory: int
    disk: int


def limits(
    plan: StudyPlan,
    machine: Machine,
    memory: WorkerMemory | None,
    disk: int | None,
    seconds: float | None,
    base: Finding | None,
) -> Iterator[tuple[str, str]]:
    """What does not work as planned, each with what to change.

    Args:
        memory: of a worker; None if unknown.
        disk: bytes that the study writes; None if unknown.
        seconds: that it takes at most; None if unknown.
        base: why its base is not here; None if it is.
    """
    if base is not None and base.state == "problem":
        yield base.message, base.fix
    if memory is not None:
        yield from _memory(plan, machine, memory)
    if disk is not None and disk > machine.disk:
        yield (
            f"it writes about {show_bytes(disk)}, and {show_bytes(machine.disk)} are free",
            "free some space, or go to a folder on another disk (cd)",
        )
    if plan.wall_clock is not None and seconds is not None and seconds > plan.wall_clock:
        yield (
            f"budget.wall_clock={show_seconds(plan.wall_clock)} may end it before its verdict",
            f"budget.wall_clock={round(seconds / 60 + 1)}m, or run the same command again: it continues",
        )


def device_limits(plan: StudyPlan, gpus: Sequence[Gpu], requested: str) -> Iterator[tuple[str, str]]:
    """What the device cannot do that trains, or that another one here could do.

    What a kind of device cannot do at all is a mistake in the configuration, which ends the command (`device_problems` in
    `sweep.config.devices`).

    Args:
        gpus: NVIDIA's and AMD's of this machine.
        requested: the configuration's `device`.
    """
    device, compute = plan.setup.device, plan.setup.quant.compute
    if gpus and device == "cpu" and requested == AUTO:
        yield (
            f"{gpus[0].name} is here, but trials train on the processor: it is hidden, or the installed PyTorch is not built for it",
            "install PyTorch for this GPU (https://pytorch.org/get-started/locally), and check CUDA_VISIBLE_DEVICES",
        )
    slow = [gpu for gpu in gpus if gpu.capability is not None and not gpu.multiplies_bfloat16]
    if slow and device == "cuda" and compute == "bfloat16":
        yield f"{slow[0].name} has no hardware for bfloat16, which torch emulates slowly", "quant.compute=float32"


def _memory(plan: StudyPlan, machine: Machine, memory: WorkerMemory) -> Iterator[tuple[str, str]]:
    sharing = plan.setup.workers_on_device
    budget = plan.setup.memory_budget
    if budget is not None and memory.bytes > budget:
        words = f"a worker takes about {show_bytes(memory.bytes)}, more than budget.memory={show_bytes(budget)}"
        yield (
            words,
            f"budget.memory={memory.bytes / 2**30:.1f}GiB, or train.batch_size={max(1, plan.training.batch_size // 2)}",
        )
    needed = sharing * memory.bytes
    if needed <= machine.memory:
        return
    fits = machine.memory // max(1, memory.bytes)
    here = f"{sharing} worker{'s' if sharing > 1 else ''} take about {show_bytes(needed)}, and {show_bytes(machine.memory)} are free"
    if fits >= 1:
        yield here, f"executor.workers={fits}, which takes {show_bytes(fits * memory.bytes)}"
    elif memory.copies and memory.bytes - memory.copies <= machine.memory:
        yield here, "executor.workers=1 quant.cache=never"
    elif plan.setup.quant.name == "none":
        yield here, "executor.workers=1 quant=nf4, a smaller model=..., or a machine with more memory"
    else:
        yield here, "executor.workers=1 with a smaller model=..., train.batch_size=1, or a machine with more memory"


def free_disk(folder: Path) -> int:
    """Bytes that are free where `mlruns` is or will be."""
    from sweep.commands.doctor.capacity import existing, free_space

    return free_space(existing(folder))
