"""GPU, memory and disk, compared with what the study needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.commands.doctor.findings import Finding
from sweep.config.devices import AUTO
from sweep.config.gpus import Gpu
from sweep.config.units import show_bytes
from sweep.records import StudyPlan
from sweep.records.quants import KINDS

_FP32_BYTES = 4.0
_HUB_BYTES = 2.2
_WHEEL_BYTES = 7.0
"""Bytes per parameter on disk: from the hub in bf16; from a wheel in fp32, with wheel and GGUF file beside it at first."""
_WORKER_BYTES = 1.4e9
"""A worker with its libraries and the activations of small batches."""
_ACTIVATION_BYTES = 1e9
_RECORD_BYTES = 0.5e9
"""Adapters, scores and databases of a study."""


_WITHOUT_LISTED = {
    "cpu": "none that PyTorch can use; training runs on the processor",
    "xpu": "an Intel GPU",
    "mps": "an Apple GPU",
}
"""What there is where no driver lists a GPU, by torch's name of the device in use."""


def graphics(
    gpus: Sequence[Gpu], device: str | None, need: int | None, workers: int = 1, requested: str = AUTO
) -> Finding:
    """Which GPUs the machine has, and whether training uses them; a machine without one is fine.

    Args:
        gpus: NVIDIA's and AMD's that are visible.
        device: torch's name of the device, as the rehearsal picked it; None if unknown.
        need: bytes that the study needs of each GPU, or None if unknown.
        workers: of the study.
        requested: the study's `device`.
    """
    if not gpus:
        return Finding("GPU", "ok", _WITHOUT_LISTED.get(device or "", "found, but its driver does not describe it"))
    first = gpus[0]
    words = f"{first.name}, {show_bytes(first.total)} ({show_bytes(first.free)} free)" if first.total else first.name
    if first.capability is not None and not first.amd:
        words += f", compute capability {first.capability[0]}.{first.capability[1]}"
    if first.capability is not None:
        words += f", bf16 {'yes' if first.multiplies_bfloat16 else 'no'}"
    if len(gpus) > 1:
        words += f"; {len(gpus) - 1} more"
        if device not in (None, "cpu"):
            words += f"; {min(workers, len(gpus))} of {len(gpus)} in use"
    if device == "cpu" and requested == "cpu":
        return Finding("GPU", "ok", f"{words}; not used, because of device=cpu")
    if device == "cpu":
        return Finding(
            "GPU",
            "warning",
            f"{words}; PyTorch does not use it",
            "install PyTorch for this GPU (https://pytorch.org/get-started/locally), and update its driver",
        )
    if need is not None and first.total and min(gpu.free for gpu in gpus) < need:
        fix = "free GPU memory, or choose a smaller model or executor.workers=1"
        return Finding("GPU", "warning", f"{words}; the study needs about {show_bytes(need)} of each", fix)
    return Finding("GPU", "ok", words)


def memory(need: int | None, available: int, budget: int | None = None) -> Finding:
    """Free memory compared with the need, which is an estimate: only a clear lack is a problem.

    Args:
        need: bytes, or None if unknown.
        available: bytes.
        budget: `budget.memory` in bytes, or None.
    """
    message = f"{show_bytes(available)} free"
    fix = "close other programs, or choose a smaller model (model=smollm2-135m) or executor.workers=1"
    if need is None:
        return Finding("memory", "ok", f"{message}; the need of this model is unknown until it is loaded")
    message += f", about {show_bytes(need)} needed"
    if available < 0.6 * need:
        return Finding("memory", "problem", message, fix)
    if available < need:
        return Finding("memory", "warning", f"{message}: possibly too little", fix)
    if budget is not None and budget < need:
        fix = f"budget.memory={need / 2**30:.1f}GiB"
        return Finding("memory", "warning", f"{message}, but budget.memory allows {show_bytes(budget)}", fix)
    return Finding("memory", "ok", message)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_space(place: Path) -> int:
    """Bytes that are free on the disk of an existing folder."""
    return shutil.disk_usage(place).free


def disk(folder: Path, need: int | None, free: Callable[[Path], int] = free_space) -> Finding:
    """Whether `mlruns` can be written to or created, and free space compared with the need.

    Args:
        folder: `mlruns`.
        need: bytes, or None if unknown.
        free: returns the free bytes of an existing folder.
    """
    place = existing(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".goldilocks-doctor-", dir=place):
            pass
        available = free(place)
    except OSError as error:
        message = f"{place} cannot be written to ({error.strerror})"
        return Finding("disk", "problem", message, f"chmod u+w {place}, or go to a folder of your own (cd)")
    message = f"{show_bytes(available)} free for {folder.name}/"
    if need is None:
        return Finding("disk", "ok", f"{message}; the need of this model is unknown until it is loaded")
    message += f", about {show_bytes(need)} needed"
    if available < need:
        return Finding("disk", "problem", message, "free some space, or go to a folder on another disk (cd)")
    return Finding("disk", "ok", message)


def hub_cache(folder: Path, need: int, free: Callable[[Path], int] = free_space) -> Finding:
    """Free space in the hub's cache, compared with the size of the download (bytes)."""
    available = free(existing(folder))
    message = f"{show_bytes(available)} free in {folder}, about {show_bytes(need)} needed"
    if available < need:
        return Finding("hub cache", "problem", message, "free some space, or set HF_HOME to a folder on another disk")
    return Finding("hub cache", "ok", message)


@dataclass(frozen=True, slots=True)
class Need:
    """Estimate of what a study needs; None where the size of its model is unknown until it is loaded.

    Attributes:
        memory: bytes of host memory.
        gpu_memory: bytes of each GPU's memory.
        disk: bytes under `mlruns/`.
        cache: bytes in the hub's cache; 0 without a download.
    """

    memory: int | None
    gpu_memory: int | None
    disk: int | None
    cache: int = 0


def need(parameters: int | None, plan: StudyPlan, *, fetched: bool, from_wheel: bool, on_gpu: bool) -> Need:
    """Estimates what a study needs.

    Args:
        parameters: of its base model, or None if unknown.
        fetched: whether the base model is on this machine.
        from_wheel: whether it is converted from a wheel, which takes all parameters in fp32.
        on_gpu: whether it is trained on a GPU.
    """
    if parameters is None:
        return Need(None, None, None)
    arms = (None, *(each.arm for each in plan.declaration.arms if plan.certify))
    stored = max(KINDS[plan.setup.quant_of(arm).name].memory for arm in arms) * parameters
    host = 0.0 if on_gpu else stored
    if from_wheel and not fetched:
        host = max(host, _FP32_BYTES * parameters)
    return Need(
        memory=int(plan.workers * (_WORKER_BYTES + host)),
        gpu_memory=int(plan.setup.workers_on_device * (_ACTIVATION_BYTES + stored)),
        disk=int(_RECORD_BYTES + (_WHEEL_BYTES * parameters if from_wheel and not fetched else 0)),
        cache=0 if fetched or from_wheel else int(_HUB_BYTES * parameters),
    )
