"""What a worker keeps loaded between trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep.records.arm import Arm
from sweep.records.base_model import BaseModel, Quantization
from sweep.records.evaluation import EvaluationSettings
from sweep.records.task_data import TaskData


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker keeps loaded between trials: base model, quantization and data.

    Attributes:
        engine: `packed` or `trainer`.
        threads: CPU threads that the worker may use.
        memory_budget: maximum bytes that the worker may use; None for no limit.
        device: `cpu`, `cuda` (NVIDIA and AMD), `xpu` or `mps`; `auto` where the worker has to find out.
        workers_on_device: workers that share the memory of its device.
    """

    model: BaseModel
    quant: Quantization
    task: TaskData
    scoring: EvaluationSettings
    engine: str
    threads: int
    memory_budget: int | None = None
    device: str = "auto"
    workers_on_device: int = 1

    def quant_of(self, arm: Arm | None) -> Quantization:
        """The quantization of the base that an arm is trained on; that of the unadapted base is the study's."""
        return self.quant if arm is None or arm.quant is None else self.quant.named(arm.quant)

    def with_quant(self, name: str | None) -> WorkerSetup:
        """The setup with a base of that quantization; the setup itself if there is no name."""
        return self if name is None else replace(self, quant=self.quant.named(name))
