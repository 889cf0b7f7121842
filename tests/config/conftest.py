"""Stand-ins for machines with GPUs."""

from __future__ import annotations

import pytest

from sweep.config import devices
from sweep.config.gpus import Gpu, gpus_listed

VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


def hosts(patch: pytest.MonkeyPatch, gpus: str | tuple[Gpu, ...], build: str = "cuda", **environment: str) -> None:
    """Gives the machine these GPUs, as `nvidia-smi` lists them, this build of torch, and these variables."""
    listed = tuple(gpus_listed(gpus)) if isinstance(gpus, str) else gpus
    patch.setattr(devices, "torch_build", lambda: build)
    patch.setattr(devices, "_listed", lambda known: listed if known in ("cuda", "rocm") else ())
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)
