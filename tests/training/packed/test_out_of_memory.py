"""Memory that runs out in a real pass: its tensors are gone before anything else is tried."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.commands.app import composed_plan
from sweep.records import CapacityRequest, Stage, Status, TrialResult, TrialSpec
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engines import open_engine
from sweep.training.packed.engine import PackedEngine
from sweep.training.packed.memory import capacity
from tests.conftest import arm
from tests.runner.conftest import HeardProgress

Tensors = list[weakref.ref[torch.Tensor]]


def alive(tensors: Tensors) -> int:
    return sum(tensor() is not None for tensor in tensors)


@contextmanager
def failing_after_all_layers(base: LoadedBase, fails: Callable[[], bool]) -> Iterator[Tensors]:
    """Within the block, a pass for which `fails` is true runs out of memory at its end; yields the tensors of such passes."""
    tensors: Tensors = []

    def remember(module: torch.nn.Module, arguments: Any, output: torch.Tensor) -> None:
        if fails():
            tensors.append(weakref.ref(output))

    def fail(module: torch.nn.Module, arguments: Any) -> None:
        if fails():
            raise torch.OutOfMemoryError("CUDA out of memory.")

    names = base.linear_modules  # keys and values among them, which a cache keeps
    handles = [base.model.get_submodule(name).register_forward_hook(remember) for name in names]
    handles.append(base.model.get_output_embeddings().register_forward_pre_hook(fail))  # type: ignore[operator]
    try:
        yield tensors
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("metric", ["exact_match", "accuracy"])
def test_a_shared_evaluation_that_failed_is_gone_before_its_adapters_are_evaluated_alone(
    made_task: Path, tmp_path: Path, metric: str
) -> None:
    plan = composed_plan(
        [
            "model=tiny",
            "task=jsonl",
            f"task.path={made_task}",
            f"task.metric={metric}",
            "train.steps=2",
            "train.batch_size=2",
            "evaluate.examples=8",
            "evaluate.max_new_tokens=2",
            "executor.workers=1",
            "executor.threads=1",
        ]
    )
    setup = load_setup(plan.setup, Paths(tmp_path / "mlruns"))
    runner, engine = TrialRunner(setup), setup.engine.for_arm(None)
    assert isinstance(engine, PackedEngine)
    for identity in "ab":
        spec = TrialSpec(identity * 32, "made", Stage.EXPLORE, arm(4), plan.training, ord(identity))
        runner.begin(spec, HeardProgress())
    left: list[int] = []
    tensors: Tensors = []

    def is_shared_evaluation() -> bool:
        if torch.is_grad_enabled():
            return False
        together = len(engine.pack._hooks._current.slots) > 1
        if not together and tensors:
            left.append(alive(tensors))
        return together

    ended: dict[str, TrialResult] = {}
    with failing_after_all_layers(setup.base, is_shared_evaluation) as seen:
        tensors = seen
        while not runner.idle:
            ended |= {each.result.spec.identity[0]: each.result for each in runner.advance()}
    assert {name: result.status for name, result in ended.items()} == dict.fromkeys("ab", Status.COMPLETE)
    assert tensors
    assert left
    assert set(left) == {0}


@pytest.mark.parametrize("name", ["packed", "trainer"])
def test_a_training_that_failed_keeps_no_activation(
    name: str, load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("none")
    engine, _ = open_engine(name, base, encoded[:2])
    engine.begin(spec(4), encoded, lambda adapted, step: None)
    with failing_after_all_layers(base, torch.is_grad_enabled) as tensors:
        (over,) = engine.advance()
    assert isinstance(over.error, torch.OutOfMemoryError)
    assert tensors
    assert alive(tensors) == 0


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")])
def test_a_forecast_that_does_not_fit_leaves_one_slot(
    error: Exception, load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors: Tensors = []

    def fail(*_: object, **__: object) -> Sequence[object]:
        activations = torch.ones(3)
        tensors.append(weakref.ref(activations))
        raise error

    left: list[int] = []
    monkeypatch.setattr(capacity, "forecast", fail)
    monkeypatch.setattr(capacity, "release", lambda: left.append(1))
    engine, _ = open_engine("packed", load_tiny("none"), encoded[:2])
    training = composed_plan(["model=tiny"]).training
    assert engine.capacity(CapacityRequest(4, (arm(),), training, 0, 1), 1, encoded, []).slots == 1
    assert left == [1, 1]  # without gradient checkpointing, and with it
