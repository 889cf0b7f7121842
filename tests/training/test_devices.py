"""Devices in a worker: which one, how its memory is measured and limited. A stand-in plays torch's modules for GPUs."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from sweep.config.devices import CPU, CUDA, KINDS, ROCM, XPU
from sweep.errors import EnvironmentLacks
from sweep.training import memory
from sweep.training.machine import device_name, kind_of, pick_device
from sweep.training.memory import CONTEXT_BYTES, check_measurable, limit_memory, worker_limit
from sweep.training.trainer_engine import on_one_device

GB = 2**30
FIRST = torch.device("cuda", 0)


@dataclass
class FakeGpu:
    """The functions of `torch.cuda` and `torch.xpu` that are used; `set_per_process_memory_fraction` is as strict as torch's."""

    total: int = 24 * GB
    counts: bool = True
    limits: bool = True
    available: bool = True
    allocated: int = 0
    most: int = 0
    fractions: list[float] = field(default_factory=list)

    def is_available(self) -> bool:
        return self.available

    def get_device_properties(self, device: torch.device) -> Any:
        return SimpleNamespace(total_memory=self.total)

    def memory_allocated(self, device: torch.device) -> int:
        return self.allocated

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.most

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.most = self.allocated

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return self.total - self.allocated, self.total

    def set_per_process_memory_fraction(self, fraction: float, device: torch.device) -> None:
        assert device.index is not None, "torch raises ValueError for a device without an index"
        assert isinstance(fraction, float)
        if not self.limits:
            raise NotImplementedError("set_per_process_memory_fraction is not implemented\nC++ stack")
        if not 0 <= fraction <= 1:
            raise ValueError(fraction)
        self.fractions.append(fraction)

    def allocate(self, size: int, **options: Any) -> None:
        if self.counts:
            self.most = max(self.most, self.allocated + size)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    monkeypatch.setattr(torch, "get_device_module", lambda device: fake)
    monkeypatch.setattr(torch, "empty", fake.allocate)
    monkeypatch.setattr(memory, "release", lambda: None)
    return fake


def test_a_gpu_has_an_index(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cuda") == FIRST
    assert pick_device("xpu") == torch.device("xpu", 0)
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == FIRST
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")


def test_a_gpu_that_torch_cannot_use(gpu: FakeGpu) -> None:
    gpu.available = False
    with pytest.raises(EnvironmentLacks, match=r"device=cuda: PyTorch .* cannot use the GPU.*device=cpu"):
        pick_device("cuda")


def test_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    assert [kind_of(torch.device(name)) for name in ("cuda:0", "xpu:0", "cpu")] == [CUDA, XPU, CPU]
    monkeypatch.setattr(torch.version, "hip", "6.3")
    assert kind_of(FIRST) is ROCM
    assert {kind_of(torch.device(kind.torch_type)).torch_type for kind in KINDS} == {kind.torch_type for kind in KINDS}
    assert device_name(torch.device("cpu")).startswith("cpu (")


def test_the_limit_of_a_budget(gpu: FakeGpu) -> None:
    for budget in (6 * GB, 100 * GB):
        limit_memory(budget, FIRST)
    assert gpu.fractions == [0.25, 1.0]


@pytest.mark.parametrize(
    ("budget", "workers", "expected"),
    [
        (None, 1, None),
        (6 * GB, 1, 6 * GB),
        (None, 2, 12 * GB - CONTEXT_BYTES),
        (6 * GB, 2, 6 * GB),
        (20 * GB, 2, 12 * GB - CONTEXT_BYTES),
        (None, 1000, 0),
    ],
)
def test_workers_on_one_gpu_divide_its_memory(
    budget: int | None, workers: int, expected: int | None, gpu: FakeGpu
) -> None:
    assert worker_limit(budget, workers, FIRST) == expected


def test_workers_on_a_processor_have_the_budget_alone() -> None:
    assert worker_limit(None, 2, torch.device("cpu")) is None
    assert worker_limit(GB, 2, torch.device("cpu")) == GB


def test_peak_and_limit_are_checked_before_anything_is_loaded(gpu: FakeGpu) -> None:
    check_measurable(FIRST)
    assert gpu.fractions == [1.0]
    gpu.limits = False
    with pytest.raises(
        EnvironmentLacks,
        match=r"device=xpu: .* does not limit memory on an Intel GPU.*\(NotImplementedError: set_per.*implemented\)$",
    ):
        check_measurable(torch.device("xpu", 0))
    gpu.counts = False
    with pytest.raises(
        EnvironmentLacks, match=r"does not measure peak memory on an Intel GPU, which trials need; write device=cpu"
    ):
        check_measurable(torch.device("xpu", 0))
    check_measurable(torch.device("cpu"))


def test_a_real_torch_without_the_device_says_so() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this torch has the device")
    with pytest.raises(EnvironmentLacks, match="does not measure peak memory on an Apple GPU"):
        check_measurable(torch.device("mps", 0))


def test_the_trainer_takes_one_of_several_gpus(tmp_path: Any) -> None:
    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=4, use_cpu=True, report_to="none"
    )
    arguments._n_gpu = 8
    assert arguments.train_batch_size == 32
    assert on_one_device(arguments).train_batch_size == 4
