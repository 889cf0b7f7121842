"""The packed engine on a CUDA device: as alone, as the reference, and a whole study. Run with `pytest -m gpu tests/gpu`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sweep.commands.app import composed_plan
from sweep.records import Split, Stage, Status, TrialResult, TrialSpec
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from tests.conftest import arm
from tests.faults.conftest import Sweep, sweep
from tests.runner.conftest import HeardProgress

__all__ = ["sweep"]  # the fixture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

NEAR = 0.05
"""Nats: weights and products are in bfloat16, which has three significant digits."""


@pytest.fixture
def runner(made_task: Path, tmp_path: Path) -> Callable[..., TrialRunner]:
    def make(engine: str) -> TrialRunner:
        plan = composed_plan(
            [
                "model=tiny",
                "task=jsonl",
                f"task.path={made_task}",
                "task.metric=accuracy",
                "train.steps=20",
                "train.batch_size=2",
                "evaluate.examples=8",
                f"engine={engine}",
            ]
        )
        return TrialRunner(load_setup(plan.setup, Paths(tmp_path / engine)))

    return make


def specs(count: int) -> list[TrialSpec]:
    training = composed_plan(["train.steps=20", "train.batch_size=2"]).training
    return [
        TrialSpec(f"{number:032x}", "gpu", Stage.EXPLORE, arm(2**number), training, number, split=Split.TUNE)
        for number in range(1, count + 1)
    ]


def run(runner: TrialRunner, asked: list[TrialSpec]) -> dict[str, TrialResult]:
    for spec in asked:
        runner.begin(spec, HeardProgress())
    ended: dict[str, TrialResult] = {}
    while not runner.idle:
        ended |= {each.result.spec.identity: each.result for each in runner.advance()}
    assert all(result.status is Status.COMPLETE for result in ended.values())
    return ended


def test_packed_is_as_alone_and_as_the_trainer(runner: Callable[..., TrialRunner]) -> None:
    together = run(runner("packed"), specs(4))
    one = specs(4)[2]
    for other in (run(runner("packed"), [one]), run(runner("trainer"), [one])):
        ours, theirs = together[one.identity], other[one.identity]
        assert [step.loss for step in ours.history] == pytest.approx([step.loss for step in theirs.history], abs=NEAR)
        assert ours.measures is not None
        assert theirs.measures is not None
        assert ours.measures.loss == pytest.approx(theirs.measures.loss, abs=NEAR)
    assert all(result.measures.peak_bytes > 0 for result in together.values() if result.measures is not None)


def test_a_study_comes_to_its_verdict(sweep: Sweep) -> None:
    made = sweep.run("certify.enabled=true", "certify.ladder=[2,4]", "certify.seeds=2", "engine.slots=4")
    assert made.returncode == 0, made.stdout
    assert "status:" in made.stdout
