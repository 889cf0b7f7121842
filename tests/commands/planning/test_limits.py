"""What a machine cannot do for a plan, and what to change."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.doctor.findings import Finding
from sweep.commands.planning.limits import Machine, device_limits, limits
from sweep.commands.planning.memory import WorkerMemory
from sweep.config.gpus import Gpu
from sweep.records import StudyPlan

GB = 10**9
ROOMY = Machine(memory=100 * GB, disk=100 * GB)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@cache
def plan(*overrides: str) -> StudyPlan:
    known = composed_plan(["task=pharma", "model=tiny", "device=cpu", "executor.workers=2", *overrides])
    return replace(known, setup=replace(known.setup, workers_on_device=2))


def found(
    asked: StudyPlan, machine: Machine = ROOMY, memory: int | None = GB, copies: int = 0, **about: float | None
) -> dict[str, str]:
    worker = None if memory is None else WorkerMemory(memory, copies, measured=True)
    disk, seconds = about.get("disk", GB), about.get("seconds", 600.0)
    return dict(limits(asked, machine, worker, None if disk is None else int(disk), seconds, None))


def test_a_machine_with_all_that_is_needed() -> None:
    assert found(plan()) == {}
    assert found(plan(), memory=None, disk=None, seconds=None) == {}


def test_fewer_workers_where_memory_is_short() -> None:
    ((problem, change),) = found(plan(), Machine(3 * GB, 100 * GB), memory=2 * GB).items()
    assert problem == "2 workers take about 4.0 GB, and 3.0 GB are free"
    assert change == "executor.workers=1, which takes 2.0 GB"


@pytest.mark.parametrize(
    ("words", "copies", "change"),
    [
        ((), 3 * GB, "executor.workers=1 quant.cache=never"),
        (("quant=none",), 0, "executor.workers=1 quant=nf4, a smaller model=..., or a machine with more memory"),
        ((), 0, "executor.workers=1 with a smaller model=..., train.batch_size=1, or a machine with more memory"),
    ],
)
def test_a_single_worker_that_does_not_fit(words: tuple[str, ...], copies: int, change: str) -> None:
    assert list(found(plan(*words), Machine(2 * GB, GB * 100), memory=4 * GB, copies=copies).values()) == [change]


def test_a_budget_below_the_need() -> None:
    ((problem, change),) = found(plan("budget.memory=1GB"), memory=2 * GB).items()
    assert problem == "a worker takes about 2.0 GB, more than budget.memory=1.0 GB"
    assert change.startswith("budget.memory=1.9GiB")


def test_disk_time_and_base() -> None:
    assert list(found(plan(), Machine(100 * GB, GB), disk=2 * GB)) == ["it writes about 2.0 GB, and 1.0 GB are free"]
    ((problem, change),) = found(plan("budget.wall_clock=5m")).items()
    assert problem == "budget.wall_clock=5 min 0 s may end it before its verdict"
    assert change == "budget.wall_clock=11m, or run the same command again: it continues"
    missing = Finding("base model", "problem", "it is not here", "fetch it")
    assert list(limits(plan(), ROOMY, None, None, None, missing)) == [("it is not here", "fetch it")]


def test_a_gpu_that_is_not_used() -> None:
    gpu = Gpu("a GPU", 8 * GB, 8 * GB, (7, 0))
    ((problem, _),) = device_limits(plan(), [gpu], "auto")
    assert problem.startswith("a GPU is here, but trials train on the processor")
    assert list(device_limits(plan(), [gpu], "cpu")) == []
    assert list(device_limits(plan(), [], "auto")) == []


def test_a_gpu_without_bfloat16() -> None:
    known = plan()
    quant = replace(known.setup.quant, compute="bfloat16")
    on_gpu = replace(known, setup=replace(known.setup, device="cuda", quant=quant))
    old, new = Gpu("old", 8 * GB, 8 * GB, (7, 0)), Gpu("new", 8 * GB, 8 * GB, (9, 0))
    assert [change for _, change in device_limits(on_gpu, [old], "cuda")] == ["quant.compute=float32"]
    assert list(device_limits(on_gpu, [new], "cuda")) == []
