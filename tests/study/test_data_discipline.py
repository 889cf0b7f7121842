"""Whatever chooses sees tune only; the verdict sees certify only; test comes last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.evaluation.data import EvaluationData
from sweep.records import Split, Stage, Status, StudyPlan, TrialSpec
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.training.encoding import Encoded
from sweep.training.splits import load_splits
from tasks import Splits
from tests.conftest import TRAINING, arm
from tests.runner.conftest import HeardProgress

LISTENER = HeardProgress()
ALLOWED = {
    Stage.BASE: set(Split),
    Stage.EXPLORE: {Split.TUNE},
    Stage.RATES: {Split.TUNE},
    Stage.SINGLE: {Split.TUNE},
    Stage.CERTIFY: {Split.CERTIFY},
    Stage.CONFIRM: {Split.CERTIFY},
    Stage.FINAL: {Split.TEST},
    Stage.PROMOTION: {Split.CERTIFY},
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("split", Split)
def test_a_stage_cannot_be_scored_on_what_it_may_not_see(stage: Stage, split: Split) -> None:
    if split in ALLOWED[stage]:
        assert TrialSpec("identity", "study", stage, arm(), TRAINING, 0, split=split).split is split
    else:
        with pytest.raises(ValueError, match=f"{stage.value} stage may not be evaluated on {split.value}"):
            TrialSpec("identity", "study", stage, arm(), TRAINING, 0, split=split)


class Guarded:
    """Splits that record when examples of certify and test are handed out; counting them reveals nothing."""

    def __init__(self, splits: Splits) -> None:
        self.tune, self.certify, self.test = splits.tune, splits.certify, splits.test
        self.read: list[str] = []


@pytest.fixture
def plan(made_task: Path) -> StudyPlan:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy", "train.steps=3"]
    return composed_plan([*words, "train.batch_size=2", "evaluate.examples=4", "evaluate.general_paragraphs=1"])


@pytest.fixture
def guarded(plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    made = Guarded(load_splits(plan.setup.task, Paths(tmp_path)))
    examples = EvaluationData.examples

    def noted(data: EvaluationData, split: Split) -> Sequence[Encoded]:
        if split is not Split.TUNE:
            made.read.append(split.value)
        return examples(data, split)

    monkeypatch.setattr(EvaluationData, "examples", noted)
    return made


def test_no_path_of_explore_reads_certify_or_test(plan: StudyPlan, guarded: Guarded, tmp_path: Path) -> None:
    runner = TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns")))
    recipe = replace(plan.arm, learning_rate=1e-3)
    for number, (stage, recipe_or_none) in enumerate(
        [(Stage.BASE, None), (Stage.EXPLORE, recipe), (Stage.RATES, recipe), (Stage.SINGLE, recipe)]
    ):
        spec = TrialSpec(f"identity{number}", "study", stage, recipe_or_none, plan.training, 0, report_every=1)
        assert runner.run(spec, LISTENER).status is Status.COMPLETE
    assert guarded.read == []
    certify = TrialSpec("identity9", "study", Stage.CERTIFY, recipe, plan.training, 1, split=Split.CERTIFY)
    assert runner.run(certify, LISTENER).status is Status.COMPLETE
    assert guarded.read == ["certify"]


def test_a_trial_is_scored_on_the_examples_of_its_split(plan: StudyPlan, guarded: Guarded, tmp_path: Path) -> None:
    runner = TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns")))
    store = TrialStore(Paths(tmp_path / "mlruns"))
    for number, split in enumerate(Split):
        spec = TrialSpec(f"identity{number}", "study", Stage.BASE, None, plan.training, 0, split=split)
        assert runner.run(spec, LISTENER).status is Status.COMPLETE
        text = (store.folder(spec.identity) / "scores.jsonl").read_text()
        prompts = {example.prompt for example in getattr(guarded, split.value)}
        assert len(store.outcomes(spec.identity)) > 0
        assert sum(prompt in text for prompt in prompts) == len(store.outcomes(spec.identity))


def test_a_kept_adapter_scores_as_when_it_was_trained(plan: StudyPlan, tmp_path: Path) -> None:
    runner = TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns")))
    store = TrialStore(Paths(tmp_path / "mlruns"))
    trained = TrialSpec("trained0", "study", Stage.EXPLORE, plan.arm, plan.training, 0)
    assert runner.run(trained, LISTENER).status is Status.COMPLETE
    fresh = replace(trained, identity="again000", stage=Stage.FINAL, split=Split.TEST, adapter_of="trained0")
    result = runner.run(fresh, LISTENER)
    assert result.status is Status.COMPLETE
    assert result.measures is not None
    assert result.measures.train_seconds == 0  # what is scored on test trains nothing
    assert result.measures.adapter_bytes > 0
    assert len(store.outcomes("again000")) == result.measures.examples
