"""The machine and its libraries: free memory, threads, versions, and silenced library output. Importing it loads no torch."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import os
import platform
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tqdm import tqdm

from sweep.config.devices import AUTO, CUDA, KINDS, ROCM, XPU, DeviceKind
from sweep.config.gpus import Gpu
from sweep.errors import EnvironmentLacks

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "optuna", "mlflow", "goldilocks-lora")
"""Packages whose versions are recorded with each result."""

_CGROUP = Path("/sys/fs/cgroup")

_CPUINFO = Path("/proc/cpuinfo")


def pick_device(requested: str = AUTO) -> torch.device:
    """The device of this process; a GPU has an index, which is 0 in a worker because a worker sees one GPU.

    Args:
        requested: torch's name of the device; `auto`: an NVIDIA or AMD GPU if torch can use one, else the CPU.

    Raises:
        EnvironmentLacks: torch cannot use the device.
    """
    import torch

    if requested == "cpu" or (requested == AUTO and not torch.cuda.is_available()):
        return torch.device("cpu")
    name = CUDA.torch_type if requested == AUTO else requested
    if not torch.get_device_module(name).is_available():
        raise EnvironmentLacks(
            f"device={name}: PyTorch {torch.__version__} cannot use the GPU of this machine; its driver may be older than this build "
            f"needs, or its architecture not among those it is built for (python -c 'import torch; torch.zeros(1, device=\"{name}\")' "
            "says which); update the driver, install another build (https://pytorch.org/get-started/locally), or write device=cpu"
        )
    return torch.device(name, 0)


def kind_of(device: torch.device) -> DeviceKind:
    """What this kind of device can."""
    import torch

    if device.type == CUDA.torch_type:
        return ROCM if torch.version.hip else CUDA
    return next(kind for kind in KINDS if kind.torch_type == device.type)


def device_name(device: torch.device) -> str:
    """The name of the GPU, or the architecture of the CPU."""
    import torch

    if device.type in (CUDA.torch_type, XPU.torch_type):
        return str(torch.get_device_module(device).get_device_name(device))
    return f"{device.type} ({platform.machine()})"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a GPU has hardware for products in bf16; where it has none, torch emulates them if it can."""
    import torch

    kind = kind_of(device)
    if kind is ROCM:  # torch says yes for all of them
        known = re.match(r"gfx(\d+)([0-9a-f])([0-9a-f])", torch.cuda.get_device_properties(device).gcnArchName)
        version = (int(known[1]), int(known[2], 16), int(known[3], 16)) if known else None
        return Gpu("", 0, 0, version, amd=True).multiplies_bfloat16
    if kind is CUDA:
        return Gpu("", 0, 0, torch.cuda.get_device_capability(device)).multiplies_bfloat16
    return kind is XPU and torch.xpu.is_bf16_supported(including_emulation=False)


def cpu_vendor(cpuinfo: Path = _CPUINFO) -> str:
    """The maker of the CPU as it names itself, such as `GenuineIntel`; empty where the system does not say."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("vendor_id"):
                return line.partition(":")[2].strip()
    return next((name for name in ("GenuineIntel", "AuthenticAMD") if name in platform.processor()), "")


def versions() -> dict[str, str]:
    """Versions of Python and of the installed `PACKAGES`."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    return installed


def use_threads(threads: int) -> None:
    """Sets the number of CPU threads that torch uses in this process."""
    import torch

    torch.set_num_threads(threads)


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes of memory available without swapping, within the limit of the container if there is one."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, KeyError):
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        pages = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        # cached files count as used, but the kernel frees them on demand
        free = min(free, limit - used + int(pages["inactive_file"]))
    return max(0, free)


@contextlib.contextmanager
def compiling_on_first_call() -> Iterator[None]:
    """Within the block, functions given to `torch.compile` are compiled when they are first called.

    bitsandbytes decorates fallback kernels while it is imported, which imports torch's compiler: a second per process, for
    kernels that are rarely called.
    """
    import torch

    compiler = torch.compile

    def later(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
        if function is None:
            return lambda decorated: later(decorated, **options)
        if isinstance(function, torch.nn.Module):
            return compiler(function, **options)
        return _compiled_on_first_call(function, lambda: compiler(function, **options))

    torch.compile = later  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = compiler


def _compiled_on_first_call(function: Callable[..., Any], compiled: Callable[[], Callable[..., Any]]) -> Any:
    get = functools.cache(compiled)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return get()(*arguments, **named)

    return call


def quiet_libraries() -> None:
    """Silences known, harmless library output; errors are still printed.

    Call before importing transformers, peft and bitsandbytes, and once after.

    - tokenizers: its fork warning does not apply, because workers are spawned.
    - transformers and huggingface_hub: their loading bars would break our progress display.
    - bitsandbytes.backends: it suggests downloading a faster inference kernel at run time. Training does not use that
      kernel, and code from the hub is never run here.
    - bitsandbytes.autograd: on a GPU, each product with 8-bit weights warns that its inputs are cast to fp16.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    for name in ("cpu", "default", "mps"):
        logging.getLogger(f"bitsandbytes.backends.{name}.ops").setLevel(logging.ERROR)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    # tqdm's default lock is a semaphore shared between processes, which a killed worker would leave behind
    tqdm.set_lock(threading.RLock())
    # peft reads an attribute that transformers has renamed
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    warnings.filterwarnings("ignore", message=".past_key_values. is deprecated.*")
    # torch.jit deprecations are raised inside libraries; a user cannot fix them
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\..*|transformers\..*|peft\..*")


def quiet_progress() -> None:
    """Turns off the progress bars that transformers shows while loading."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
