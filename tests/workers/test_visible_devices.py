"""Each worker's process begins with the variables that leave one GPU visible, before it imports anything."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sweep.records import BaseModel, EvaluationSettings, Quantization, TaskData, WorkerSetup
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.workers import worker
from sweep.workers.worker import Launcher
from tests.config.conftest import VARIABLES, hosts

TWO = "A100, 81920, 80000, 8.0, GPU-a\nA100, 81920, 80000, 8.0, GPU-b\n"
SETUP = WorkerSetup(
    BaseModel("tiny", "tiny", "made"),
    Quantization(),
    TaskData("made", "jsonl", "accuracy"),
    EvaluationSettings(),
    "packed",
    1,
    device="cuda",
)


def report(connection: Connection, *_: Any) -> None:
    """Stands in for `child.main`: sends the variables with which this process began, and whether torch is imported."""
    began = dict(os.environ)
    if sys.platform == "linux":
        lines = Path("/proc/self/environ").read_bytes().decode(errors="replace").split("\0")
        began = dict(line.split("=", 1) for line in lines if "=" in line)
    connection.send(({name: began.get(name) for name in VARIABLES}, "torch" in sys.modules))


def begun(launcher: Launcher, place: int) -> dict[str, str | None]:
    connection, process = launcher(place, None, Requirements())
    assert connection.poll(60)
    variables, has_torch = connection.recv()
    process.join(60)
    assert not has_torch
    return {name: value for name, value in variables.items() if value is not None}


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    monkeypatch.setattr(worker.child, "main", report)
    return Launcher(SETUP, Paths(tmp_path), tmp_path / "log")


def test_worker_i_on_gpu_i(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, TWO)
    assert [begun(launcher, place)["CUDA_VISIBLE_DEVICES"] for place in (0, 1, 2)] == ["0", "1", "0"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_within_what_the_user_left_visible(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, TWO, CUDA_VISIBLE_DEVICES="GPU-b,GPU-a")
    assert begun(launcher, 1) == {"CUDA_VISIBLE_DEVICES": "GPU-a"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"


def test_on_the_processor(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = Launcher(replace(SETUP, device="cpu"), launcher.paths, launcher.log)
    hosts(monkeypatch, "", "cpu")
    assert begun(on_cpu, 0) == {}
    hosts(monkeypatch, TWO)
    assert begun(on_cpu, 0) == {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}
