"""What a benchmark ran on, and how it starts the processes that it times."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.config.compute import with_compute_type
from sweep.config.cores import available_cores
from sweep.records import Quantization
from sweep.training.machine import versions

ROOT = Path(__file__).parents[1]
_LAST_LINES = 30


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that ended well.

    Attributes:
        began: seconds since the epoch.
        seconds: wall clock, from start to exit.
        output: what it printed on stdout.
    """

    began: float
    seconds: float
    output: str


def timed(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ran:
    """Runs `python WORDS` in a folder, start to finish.

    Raises:
        SystemExit: it failed; with what it printed last.
    """
    began, clock = time.time(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - clock
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise SystemExit(f"python {' '.join(words[:2])} ... ended with {done.returncode}:\n{last}")
    return Ran(began, seconds, done.stdout)


def environment(device: str, scratch: Path) -> dict[str, str]:
    """The same for every process that is compared: threads as each chooses itself, no network, no cache of an earlier run.

    Args:
        device: `cpu` hides GPUs.
        scratch: where caches go.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    kept |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(scratch / "datasets"),
    }
    return kept | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})


def chosen_device(wanted: str) -> str:
    """`cpu` or `cuda`; `auto` is a GPU where there is one.

    Raises:
        SystemExit: `cuda` without a GPU.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise SystemExit("--device cuda: torch sees no CUDA device here")
    return ("cuda" if there else "cpu") if wanted == "auto" else wanted


def machine(device: str) -> dict[str, Any]:
    """Processor, cores, versions, day."""
    import torch

    return {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else _cpu(),
        "cpu": _cpu(),
        "cores": available_cores(),
        "compute": with_compute_type(Quantization(), device).compute,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "versions": dict(versions()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def hydra_word(value: Any) -> str:
    """A value as Hydra's command line reads it."""
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
