"""The machine and its libraries: free memory, threads, versions, and silenced library output. Importing it loads no torch."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import os
import platform
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tqdm import tqdm

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "optuna", "mlflow", "goldilocks-lora")
"""Packages whose versions are recorded with each result."""

_CGROUP = Path("/sys/fs/cgroup")

_CPUINFO = Path("/proc/cpuinfo")


def pick_device() -> torch.device:
    """CUDA if available, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The name of the GPU, or the architecture of the CPU."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


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
