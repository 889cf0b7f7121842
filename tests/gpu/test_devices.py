"""What only a card shows of `device`: counting without a context, one GPU a worker, limits that hold. `pytest -m gpu tests/gpu`.

The twins on a CPU: tests/config/test_devices.py, tests/training/test_devices.py, tests/workers/test_visible_devices.py.
"""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.commands.app import composed_plan
from sweep.config.devices import devices_for
from sweep.records import Status
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.training.machine import multiplies_bfloat16, pick_device
from sweep.training.memory import check_measurable, free_bytes, total_bytes
from sweep.workers import worker
from sweep.workers.worker import Launcher
from tests.faults.conftest import Sweep, sweep

__all__ = ["sweep"]  # the fixture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def alone(code: str) -> str:
    """What this code prints in a process of its own: limits and contexts stay with a process."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_parent_counts_gpus_as_torch_does_and_makes_no_context() -> None:
    counted, expected, initialized = alone(
        "from sweep.commands.app import composed_plan\n"
        "from sweep.config.devices import devices_for\n"
        "composed_plan(['model=tiny'])\n"
        "found = devices_for('auto')\n"
        "import torch\n"
        "print(len(found.names), torch.cuda.device_count(), torch.cuda.is_initialized())"
    ).split()
    assert (counted, initialized) == (expected, "False")


def test_the_parent_and_torch_agree_on_bfloat16() -> None:
    native = all(multiplies_bfloat16(torch.device("cuda", number)) for number in range(torch.cuda.device_count()))
    assert devices_for("auto").multiplies_bfloat16 is native
    assert composed_plan(["model=tiny"]).setup.quant.compute == ("bfloat16" if native else "float32")


def test_peak_and_limit_can_be_checked() -> None:
    check_measurable(pick_device("cuda"))
    assert 0 < free_bytes(pick_device("cuda")) <= 1.05 * total_bytes(pick_device("cuda"))


def test_allocations_beyond_the_limit_fail() -> None:
    printed = alone(
        "import torch\n"
        "from sweep.training.machine import pick_device\n"
        "from sweep.training.device_errors import is_out_of_memory\n"
        "from sweep.training.memory import limit_memory\n"
        "device = pick_device()\n"
        "limit_memory(256 * 2**20, device)\n"
        "kept = torch.empty(128 * 2**20, dtype=torch.uint8, device=device)\n"
        "try:\n    torch.empty(256 * 2**20, dtype=torch.uint8, device=device)\n"
        "except RuntimeError as error:\n    print(is_out_of_memory(error))"
    )
    assert printed == "True"


def seen(connection: Connection, *_: Any) -> None:
    """Stands in for `child.main`: sends how many GPUs a worker sees, and which the first is."""
    connection.send((torch.cuda.device_count(), str(torch.cuda.get_device_properties(0).uuid)))


def test_each_worker_sees_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.child, "main", seen)
    launcher = Launcher(composed_plan(["model=tiny"]).setup, Paths(tmp_path), tmp_path / "log")
    uuids = []
    for place in range(devices_for("auto").count + 1):
        connection, process = launcher(place, None, Requirements())
        assert connection.poll(120)
        count, uuid = connection.recv()
        process.join(60)
        assert count == 1
        uuids.append(uuid)
    assert len(set(uuids[:-1])) == len(uuids) - 1
    assert uuids[-1] == uuids[0]


def test_a_study_with_a_budget_ends_with_complete_trials(sweep: Sweep) -> None:
    made = sweep.run("search.trials=2", "budget.memory=2GiB", "device=cuda")
    assert made.returncode == 0, made.stdout
    assert Status.INFEASIBLE.value not in made.stdout


@pytest.mark.parametrize("engine", ["packed", "trainer"])
def test_two_workers_share_a_gpu(engine: str, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices_for("auto").names[0])
    made = sweep.run("search.trials=4", "executor.workers=2", f"engine={engine}")
    assert made.returncode == 0, made.stdout
    assert "up to 2 workers share a GPU" in made.stdout


def test_a_study_on_the_processor_of_a_machine_with_a_gpu(sweep: Sweep) -> None:
    made = sweep.run("search.trials=2", "device=cpu")
    assert made.returncode == 0, made.stdout
