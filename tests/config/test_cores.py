"""The number of workers for `executor.workers=auto`."""

from __future__ import annotations

import pytest

from sweep.commands.app import composed_plan
from sweep.config import cores, gpus


@pytest.mark.parametrize(
    ("requested", "threads", "available", "gpu", "expected"),
    [
        ("auto", None, 1, False, 1),
        ("auto", None, 2, False, 2),
        ("auto", None, 64, False, 2),
        ("auto", 2, 2, False, 1),
        ("auto", 2, 4, False, 2),
        ("auto", 8, 4, False, 1),
        ("auto", None, 64, True, 1),
        (3, None, 4, True, 3),
    ],
)
def test_auto_divides_the_cores(
    monkeypatch: pytest.MonkeyPatch, requested: int | str, threads: int | None, available: int, gpu: bool, expected: int
) -> None:
    monkeypatch.setattr(gpus.shutil, "which", lambda name: f"/usr/bin/{name}" if gpu else None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cores.chosen_workers(requested, threads, available) == expected


def test_a_gpu_that_is_hidden_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cores.chosen_workers("auto", None, 2) == 2


def test_a_single_trial_has_the_machine_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.config.load.available_cores", lambda: 4)
    monkeypatch.setattr("sweep.config.checks.available_cores", lambda: 4)
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    plan = composed_plan(["model=tiny"])
    assert (plan.workers, plan.setup.threads, plan.threads_alone) == (2, 2, 4)
    limited = composed_plan(["model=tiny", "executor.threads=1"])
    assert (limited.setup.threads, limited.threads_alone) == (1, 1)
