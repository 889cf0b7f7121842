"""What trials run on: device, threads, and the versions that a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "optuna", "mlflow", "goldilocks-lora")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def use_threads(threads: int) -> None:
    """How many CPU threads torch may use in this process."""
    torch.set_num_threads(threads)
