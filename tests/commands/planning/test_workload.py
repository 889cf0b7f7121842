"""The tokens of a study's trials, from its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.workload import CharacterEncoder, encoder_for, workload_of
from sweep.records import Split, StudyPlan
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from sweep.training.base_model import open_base
from sweep.training.splits import load_splits
from tasks import Example, Splits
from tests.conftest import write_made_task


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyPlan, Splits]:
    task = write_made_task(tmp_path_factory.mktemp("made") / "task")
    words = ["model=tiny", "task=jsonl", f"task.path={task}", "task.metric=exact_match", "train.steps=10"]
    plan = composed_plan([*words, "train.batch_size=4", "evaluate.examples=5", "evaluate.general_paragraphs=2"])
    return plan, load_splits(plan.setup.task, Paths(task / "mlruns"))


def test_as_many_rows_as_are_trained_and_evaluated(data: tuple[StudyPlan, Splits]) -> None:
    plan, splits = data
    load = workload_of(plan, splits, CharacterEncoder(), counted=False)
    assert load.training.examples == 40
    assert load.evaluated[Split.TUNE].examples == 5
    assert load.evaluated[Split.CERTIFY].examples == len(splits.certify)
    assert (load.prose.examples, load.questions[Split.TUNE].examples, load.questions[Split.TEST].examples) == (
        2,
        16,
        48,
    )
    assert (load.labels, load.counted) == (0, False)


def test_more_steps_are_more_tokens_and_labels_are_counted(data: tuple[StudyPlan, Splits]) -> None:
    plan, splits = data
    load = workload_of(plan, splits, CharacterEncoder(), counted=False)
    longer = replace(plan, training=replace(plan.training, steps=30))
    assert workload_of(longer, splits, CharacterEncoder(), counted=False).training.tokens == pytest.approx(
        3 * load.training.tokens
    )
    scoring = replace(plan.setup.scoring, answers="likelihood")
    labelled = replace(plan, setup=replace(plan.setup, scoring=scoring))
    assert workload_of(labelled, splits, CharacterEncoder(), counted=False).labels > 0


def test_a_plan_counts_the_tokens_that_a_worker_counts(data: tuple[StudyPlan, Splits], tmp_path: Path) -> None:
    """So it expects the number of certify examples that the study chooses (`sweep.study.examples`)."""
    plan, splits = data
    paths = Paths(tmp_path / "mlruns")
    setup = replace(plan.setup, scoring=replace(plan.setup.scoring, certify_examples=None))
    counted = load_setup(setup, paths).description.tokens
    folder = open_base(setup.model, paths).files.folder
    load = workload_of(plan, splits, encoder_for(plan, folder)[0], counted=True)
    assert load.evaluated[Split.CERTIFY].mean() == counted["certify"]
    train = load.training.mean()
    assert (train.all, train.predicted) == pytest.approx((counted["train"].all, counted["train"].predicted))


def test_general_text_takes_its_share_of_the_rows(data: tuple[StudyPlan, Splits]) -> None:
    plan, splits = data
    replayed = replace(plan, training=replace(plan.training, replay=0.5))
    mixed = replace(splits, replay=("word " * 400,) * 3)
    load = workload_of(replayed, mixed, CharacterEncoder(), counted=False)
    assert load.training.examples == 40
    assert load.training.tokens > 20 * 300


def test_too_long_examples_are_left_out_or_shortened(data: tuple[StudyPlan, Splits]) -> None:
    plan, splits = data
    long = replace(splits, tune=(Example("word " * 4000, "yes"), *splits.tune))
    assert workload_of(plan, long, CharacterEncoder(), counted=False).evaluated[Split.TUNE].tokens < 1000
    task = replace(plan.setup.task, too_long="truncate_left")
    kept = replace(plan, setup=replace(plan.setup, task=task))
    load = workload_of(kept, long, CharacterEncoder(), counted=False)
    assert 512 < load.evaluated[Split.TUNE].tokens < 1000


def test_without_a_tokenizer_tokens_are_guessed(data: tuple[StudyPlan, Splits]) -> None:
    encoder, counted = encoder_for(data[0], None)
    assert not counted
    item = encoder.encode(Example("x" * 360, "y" * 36))
    assert (len(item.prompt), len(item.completion)) == (24 + 100, 2 + 10)
