"""Trials of packed methods and of others in one worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Stage, Status, TrialResult, TrialSpec
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import load_setup
from sweep.store.identity import adapter_identity
from sweep.store.paths import Paths
from tests.runner.conftest import HeardProgress


def to_the_end(runner: TrialRunner, specs: list[TrialSpec]) -> dict[str, TrialResult]:
    results: dict[str, TrialResult] = {}
    for spec in specs:
        runner.begin(spec, HeardProgress())
    while len(results) < len(specs):
        results |= {ended.result.spec.identity: ended.result for ended in runner.advance()}
    return results


def test_they_are_trained_stored_and_evaluated_again(made_task: Path, tmp_path: Path) -> None:
    plan = composed_plan(
        [
            *("model=tiny", "task=jsonl", f"task.path={made_task}", "train.steps=6", "train.batch_size=2"),
            *("evaluate.examples=6", "evaluate.general_paragraphs=1", "evaluate.max_new_tokens=4", "certify=none"),
            *("search.space.method=[lora,prompt_tuning,dora]", "executor.threads=1", "quant=none", "engine.slots=2"),
        ]
    )
    runner = TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns")))
    about = runner._loaded.description
    arms = [each.arm for each in plan.methods] + [replace(plan.arm, rank=4)]
    specs = []
    for number, arm in enumerate(arms):
        identity = adapter_identity(plan.setup, about.base_hash, about.train_hash, arm, plan.training, 0)
        spec = TrialSpec(f"{number}" * 32, "made", Stage.EXPLORE, arm, plan.training, 0, adapter=identity)
        specs.append(spec)
    results = to_the_end(runner, specs)
    assert {result.status for result in results.values()} == {Status.COMPLETE}, results
    assert [spec.identity[0] for spec in results.values() for spec in [spec.spec]][:1] == ["2"], "the pack waits"
    for result in results.values():
        assert result.measures is not None
        assert result.measures.peak_bytes > 0
        assert result.measures.peak_of == "probe"

    again = to_the_end(runner, [replace(spec, identity=f"{number + 4}" * 32) for number, spec in enumerate(specs)])
    for spec in specs:
        first, second = results[spec.identity].measures, again[f"{int(spec.identity[0]) + 4}" * 32].measures
        assert first is not None
        assert second is not None
        assert second.loss == pytest.approx(first.loss, abs=1e-5)
        assert (second.adapter_bytes, second.peak_bytes) == (first.adapter_bytes, first.peak_bytes)
