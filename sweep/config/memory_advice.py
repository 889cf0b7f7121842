"""Which keys make a trial fit into memory: those that change no result first."""

from __future__ import annotations

from sweep.records import Training, WorkerSetup
from sweep.records.quants import KINDS, SMALLEST


def memory_advice(setup: WorkerSetup, training: Training, *, checkpointing: bool, slots: int = 1) -> str:
    """What takes less memory, as a list of settings that can still help.

    Args:
        checkpointing: whether the trial uses gradient checkpointing.
        slots: trials side by side.
    """
    less = []
    if slots > 1:
        less.append(f"engine.slots below {slots}")
    if not checkpointing:
        less.append("train.gradient_checkpointing=true")
    if training.batch_size > 1:
        less.append(f"train.batch_size below {training.batch_size} (with more train.gradient_accumulation)")
    less.append(f"task.max_length below {setup.task.max_length}")
    if KINDS[setup.quant.name].bits > KINDS[SMALLEST].bits:
        less.append(f"quant={SMALLEST}")
    less.append("fewer lora.targets")
    if setup.memory_budget is not None:
        less.append("a larger budget.memory")
    return ", ".join(less[:-1]) + f" or {less[-1]}"
