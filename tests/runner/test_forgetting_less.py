"""Trials with replay, decay and early stopping from their plan to their stored records, with either engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Split, Stage, Status, StudyPlan, TrialSpec, trained_adapter_from_json
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import LoadedSetup, load_setup
from sweep.store.adapters import AdapterStore
from sweep.store.paths import Paths
from sweep.training.splits import load_splits
from tests.runner.conftest import HeardProgress


def plan_of(task: Path, engine: str, *words: str) -> StudyPlan:
    shared = [
        "model=tiny",
        "task=jsonl",
        f"task.path={task}",
        "task.metric=exact_match",
        "evaluate.answers=none",
        "certify=none",
    ]
    small = [
        "train.steps=12",
        "train.batch_size=2",
        "evaluate.examples=200",
        "evaluate.general_paragraphs=1",
        "executor.workers=1",
    ]
    return composed_plan([*shared, *small, "executor.threads=1", f"engine={engine}", *words], searches=False)


def spec_of(plan: StudyPlan, identity: str = "a", **changes: object) -> TrialSpec:
    spec = TrialSpec(identity * 32, "made", Stage.SINGLE, plan.arm, plan.training, 0, adapter=identity * 31 + "0")
    return replace(spec, **changes)  # type: ignore[arg-type]


@pytest.fixture(params=["packed", "trainer"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def loaded(plan: StudyPlan, folder: Path) -> LoadedSetup:
    return load_setup(plan.setup, Paths(folder / "mlruns"))


def test_early_stopping_keeps_the_best_look(engine: str, made_task: Path, tmp_path: Path) -> None:
    # at this rate the loss soon rises again
    plan = plan_of(
        made_task, engine, "train.early_stopping=2", "train.patience=2", "train.learning_rate=1e-1", "lora.r=8"
    )
    setup = loaded(plan, tmp_path)
    runner = TrialRunner(setup)
    heard = HeardProgress()
    result = runner.run(spec_of(plan), heard)
    assert result.status is Status.COMPLETE
    assert result.measures is not None
    record = AdapterStore(setup.paths).find("a" * 31 + "0")
    assert record is not None
    best = min(record.looks, key=lambda look: look.loss)
    assert record.kept_step == result.measures.kept_step == best.step
    assert [look.step for look in record.looks] == list(range(2, 2 * len(record.looks) + 1, 2))
    assert len(result.history) == heard.steps[-1] == record.looks[-1].step
    assert len(setup.data.stopping) == len(setup.data.examples(Split.TUNE)), (
        "so the trial's loss is that of the kept look"
    )
    assert result.measures.loss == pytest.approx(best.loss, abs=1e-4)
    assert (
        trained_adapter_from_json(json.loads((tmp_path / f"mlruns/adapters/aa/{'a' * 31}0/training.json").read_text()))
        == record
    )


def test_a_certify_trial_is_stopped_by_tune(made_task: Path, tmp_path: Path) -> None:
    plan = plan_of(made_task, "packed", "train.early_stopping=4", "evaluate.certify_examples=8")
    setup = loaded(plan, tmp_path)
    result = TrialRunner(setup).run(spec_of(plan, stage=Stage.CERTIFY, split=Split.CERTIFY), HeardProgress())
    assert result.status is Status.COMPLETE
    tune = {item.example.key for item in setup.data.stopping}
    assert tune.isdisjoint(item.example.key for item in setup.data.examples(Split.CERTIFY))


def test_replay_trains_on_general_text_and_keeps_the_number_of_rows(
    engine: str, made_task: Path, tmp_path: Path
) -> None:
    plan = plan_of(made_task, engine, "train.replay=0.5", "train.decay_to_base=1")
    setup = loaded(plan, tmp_path)
    assert sum(item.replayed for item in setup.train) == 64
    result = TrialRunner(setup).run(spec_of(plan), HeardProgress())
    assert result.status is Status.COMPLETE
    assert len(result.history) == 12


def test_the_text_counts_as_data_by_its_content(made_task: Path, tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("\n".join(f"passage number {number}" for number in range(9)))
    paths = Paths(tmp_path / "mlruns")

    def hashes(*words: str) -> tuple[str, str]:
        splits = load_splits(plan_of(made_task, "packed", *words).setup.task, paths)
        return splits.data_hash, splits.train_hash

    plain, own, given = hashes(), hashes("train.replay=0.25"), hashes("train.replay=0.25", f"train.replay_path={text}")
    assert len({*plain, *own, *given}) == 6
    text.rename(tmp_path / "other.txt")
    assert hashes("train.replay=0.5", f"train.replay_path={tmp_path / 'other.txt'}") == given, (
        "neither path nor share is content"
    )
