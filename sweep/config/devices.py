"""`device`: on which devices the workers of a study train, decided without loading torch. `KINDS` says what each kind can."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from sweep.config.gpus import Gpu, amd_gpus, nvidia_gpus, torch_build, visible
from sweep.records.quants import QUANTS

AUTO = "auto"

_BFLOAT16, _FLOAT32 = "bfloat16", "float32"


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """What a kind of device can.

    Attributes:
        torch_type: its name in torch; AMD's GPUs are `cuda` there.
        words: what people call it.
        compute: the values of `quant.compute` that it may take; whether one of several cards has bf16 is `Gpu.multiplies_bfloat16`.
        compute_of_all: whether the whole base has that type, as in QLoRA; if not, its products alone.
        quantizations: the values of `quant` that it can train with.
        slots: maximum number of slots with `engine.slots=auto`.
        measured: `resident`: memory is that of the process, and all workers share the machine's; `allocated`: memory is what torch's
            allocator for the device has given out, and each device has its own.
        variables: environment variables that hide all devices from a process but those they name.
        limits: why not everything is possible, for messages.
    """

    name: str
    torch_type: str
    words: str
    compute: tuple[str, ...]
    compute_of_all: bool
    quantizations: tuple[str, ...]
    slots: int
    measured: str
    variables: tuple[str, ...] = ()
    limits: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it has memory and an allocator of its own in torch."""
        return self.measured == "allocated"


_ALL = QUANTS
_CUDA, _HIP = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"

CPU = DeviceKind("cpu", "cpu", "processor", (_FLOAT32, _BFLOAT16), False, _ALL, 2, "resident", (_CUDA, _HIP))
CUDA = DeviceKind("cuda", "cuda", "NVIDIA GPU", (_BFLOAT16, _FLOAT32), True, _ALL, 16, "allocated", (_CUDA,))
ROCM = DeviceKind("rocm", "cuda", "AMD GPU", (_BFLOAT16, _FLOAT32), True, _ALL, 16, "allocated", (_HIP, _CUDA))
XPU = DeviceKind("xpu", "xpu", "Intel GPU", (_FLOAT32, _BFLOAT16), True, _ALL, 1, "allocated")
MPS = DeviceKind(
    "mps",
    "mps",
    "Apple GPU",
    (_FLOAT32,),
    True,
    ("none",),
    1,
    "allocated",
    limits="bitsandbytes fetches its 4-bit kernels for Apple GPUs from the hub, and code from the hub is never run here",
)

KINDS = (CPU, CUDA, ROCM, XPU, MPS)

CHOICES = (AUTO, "cpu", "cuda", "mps", "xpu")
"""The values of `device`."""

SLOTS = {kind.torch_type: kind.slots for kind in KINDS}
"""Maximum number of slots with `engine.slots=auto`, by torch's name of the device."""

_HIDDEN = "-1"
"""Names no GPU; HIP takes an empty variable for one that is not set."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices on which the workers of a study train.

    Attributes:
        names: for each device, the value of the kind's variables that leaves it alone visible; empty if nothing is to be hidden.
        multiplies_bfloat16: whether all of them have hardware for bf16; only known of GPUs.
    """

    kind: DeviceKind
    names: tuple[str, ...] = ()
    multiplies_bfloat16: bool = False

    @property
    def count(self) -> int:
        """Number of devices; the processor is one."""
        return max(1, len(self.names))

    def workers_on_each(self, workers: int) -> int:
        """Maximum number of workers that share the memory of a device, if they are spread evenly."""
        return math.ceil(workers / self.count)

    def environment(self, place: int) -> dict[str, str]:
        """The variables of the worker in this place, counted from 0: it sees one device."""
        if not self.names:
            return {}
        return dict.fromkeys(self.kind.variables, self.names[place % len(self.names)])


def devices_for(requested: str) -> Devices:
    """The devices that a value of `device` means on this machine.

    `auto` is the GPUs of the build of torch that is installed, NVIDIA's or AMD's, if one is visible, else the processor. Others are used
    only if they are asked for.

    Args:
        requested: one of `CHOICES`; one that this machine cannot serve is for `device_problems`.
    """
    build = torch_build()
    listed = _listed(build)
    if requested in (AUTO, "cuda"):
        seen = _smallest_first(visible(listed, os.environ), len(listed))
        kind = ROCM if build == "rocm" else CUDA
        if seen or requested == "cuda":
            asked = [gpu for _, gpu in seen] if _are_matched(seen) else listed
            fast = bool(asked) and all(gpu.multiplies_bfloat16 for gpu in asked)
            return Devices(kind, tuple(name for name, _ in seen), fast)
    if requested in ("xpu", "mps"):
        return Devices(XPU if requested == "xpu" else MPS)
    return Devices(CPU, (_HIDDEN,) if listed else ())


def device_problems(requested: str, quantization: str, compute: str) -> Iterator[str]:
    """Why this machine, or the kind of device, cannot train as it is asked to."""
    if problem := _missing(requested):
        yield f"device={requested}: {problem}, or write device=cpu"
        return
    kind = devices_for(requested).kind
    because = f" ({kind.limits})" if kind.limits else ""
    if quantization in set(_ALL) - set(kind.quantizations):
        yield f"quant={quantization}: not on an {kind.words}{because}; write quant={kind.quantizations[0]}, or device=cpu"
    if compute in {_BFLOAT16, _FLOAT32} - set(kind.compute):
        yield f"quant.compute={compute}: not on an {kind.words}; write quant.compute={kind.compute[0]}, or device=cpu"


def _missing(requested: str) -> str | None:
    build = torch_build()
    if requested == "cuda":
        if build not in ("cuda", "rocm"):
            return "the installed PyTorch is not built for NVIDIA or AMD GPUs; install one that is (https://pytorch.org/get-started/locally)"
        if not devices_for(requested).names:
            return f"no GPU is visible; check the driver (nvidia-smi, rocminfo) and {', '.join(ROCM.variables)}"
    if requested == "xpu" and build != "xpu":
        return "the installed PyTorch is not built for Intel GPUs; install one that is (https://pytorch.org/get-started/locally)"
    if requested == "mps" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return "this is not a Mac with Apple silicon; leave it out"
    return None


def _smallest_first(seen: list[tuple[str, Gpu]], present: int) -> list[tuple[str, Gpu]]:
    """The GPU with the least memory first: how many trials fit side by side is measured by the first worker, for all of them.

    Args:
        present: number of GPUs, visible or not.
    """
    if len({gpu.total for _, gpu in seen}) < 2:
        return seen
    if len(seen) == present and all(gpu.uuid.startswith("GPU-") for _, gpu in seen):
        seen = [
            (gpu.uuid, gpu) for _, gpu in seen
        ]  # CUDA numbers GPUs in another order than their driver; here all are in use
    return sorted(seen, key=lambda each: each[1].total) if _are_matched(seen) else seen


def _are_matched(seen: list[tuple[str, Gpu]]) -> bool:
    """Whether it is known which GPU each name means: CUDA's numbers are the driver's only where that is asked for."""
    by_name = all(name.startswith("GPU-") for name, _ in seen)
    return by_name or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"


@cache
def _listed(build: str) -> tuple[Gpu, ...]:
    """The GPUs of the kind that a build of torch computes on; asked once a process, because drivers take up to seconds."""
    if build == "cuda":
        return tuple(nvidia_gpus())
    return tuple(amd_gpus()) if build == "rocm" else ()
