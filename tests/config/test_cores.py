"""The number of workers for `executor.workers=auto`, and how they share devices."""

from __future__ import annotations

import pytest

from sweep.commands.app import composed_plan
from sweep.config.cores import chosen_workers
from sweep.config.devices import CPU, CUDA, Devices
from sweep.errors import ConfigurationError
from tests.config.conftest import hosts

ONE, EIGHT, NONE = Devices(CUDA, ("0",)), Devices(CUDA, tuple("01234567")), Devices(CPU)
TWO_A100 = "A100, 81920, 80000, 8.0, GPU-a\nA100, 81920, 80000, 8.0, GPU-b\n"


@pytest.mark.parametrize(
    ("requested", "threads", "available", "devices", "expected"),
    [
        ("auto", None, 1, NONE, 1),
        ("auto", None, 2, NONE, 2),
        ("auto", None, 64, NONE, 2),
        ("auto", 2, 2, NONE, 1),
        ("auto", 2, 4, NONE, 2),
        ("auto", 8, 4, NONE, 1),
        ("auto", None, 64, ONE, 1),
        ("auto", None, 64, EIGHT, 8),
        ("auto", None, 4, EIGHT, 4),
        ("auto", 8, 32, EIGHT, 4),
        (3, None, 4, ONE, 3),
    ],
)
def test_auto_is_a_worker_for_each_gpu_or_divides_the_cores(
    requested: int | str, threads: int | None, available: int, devices: Devices, expected: int
) -> None:
    assert chosen_workers(requested, threads, available, devices) == expected


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sweep.config.load.available_cores", lambda: 16)
    monkeypatch.setattr("sweep.config.checks.available_cores", lambda: 16)
    return 16


@pytest.mark.usefixtures("cores")
class TestPlan:
    def test_a_worker_on_each_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts(monkeypatch, TWO_A100)
        plan = composed_plan(["model=tiny"])
        assert (plan.workers, plan.setup.threads) == (2, 8)
        assert (plan.setup.device, plan.setup.workers_on_device) == ("cuda", 1)

    @pytest.mark.parametrize(("workers", "each"), [(1, 1), (2, 1), (3, 2), (8, 4)])
    def test_more_workers_than_gpus_share_them(self, workers: int, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts(monkeypatch, TWO_A100)
        plan = composed_plan(["model=tiny", f"executor.workers={workers}"])
        assert (plan.workers, plan.setup.workers_on_device) == (workers, each)

    @pytest.mark.parametrize("words", [[], ["device=cpu"]])
    def test_workers_on_a_processor_share_the_machine(self, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        hosts(monkeypatch, TWO_A100 if words else "")
        plan = composed_plan(["model=tiny", "executor.workers=3", *words])
        assert (plan.setup.device, plan.setup.workers_on_device) == ("cpu", 3)
        assert composed_plan(["model=tiny", *words]).workers == 2

    def test_a_gpu_that_is_hidden_trains_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts(monkeypatch, TWO_A100, CUDA_VISIBLE_DEVICES="")
        assert (composed_plan(["model=tiny"]).setup.device, composed_plan(["model=tiny"]).workers) == ("cpu", 2)
        with pytest.raises(ConfigurationError, match=r"device=cuda: no GPU is visible.*CUDA_VISIBLE_DEVICES"):
            composed_plan(["model=tiny", "device=cuda"])


def test_a_single_trial_has_the_machine_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.config.load.available_cores", lambda: 4)
    monkeypatch.setattr("sweep.config.checks.available_cores", lambda: 4)
    hosts(monkeypatch, "")
    plan = composed_plan(["model=tiny"])
    assert (plan.workers, plan.setup.threads, plan.threads_alone) == (2, 2, 4)
    limited = composed_plan(["model=tiny", "executor.threads=1"])
    assert (limited.setup.threads, limited.threads_alone) == (1, 1)
